import ModelZoo

extension LanguageModel {
    /// The most memory that tensors hold at once in a step of training, in MB of 2²⁰ bytes: parameters, what the optimizer
    /// keeps, activations and gradients. Of the second step, on random tokens; the parameters are changed.
    ///
    /// Carries from batch to batch are counted if the order is sequential.
    func trainingMemory(_ options: TrainingOptions) -> Double {
        let shape = [options.batchSize, options.sequenceLength]
        let optimizer = Optimizer(trainable, options.optimizer)
        let streams = options.order == .sequential
        var carries = [Carry?](repeating: nil, count: streams ? options.batchSize : 0)
        for step in 0..<2 {
            let key = RandomKey(seed: options.seed).child(step)
            func tokens(_ index: Int) -> [Int32] {
                key.child(index).integers(shape[0] * shape[1]).map { Int32($0 % UInt64(vocabularySize)) }
            }
            let batch = TokenBatch(
                inputs: tokens(0), targets: tokens(1), shape: shape,
                startsDocument: Array(repeating: !streams, count: shape[0]), textCount: shape[0] * shape[1])
            MemoryPool.shared.resetPeak()
            let result = stepGradients(of: [batch], carries: &carries, key: key)
            optimizer.update(result.gradients, learningRate: 0)
        }
        return megabytes(MemoryPool.shared.statistics.peak)
    }
}
