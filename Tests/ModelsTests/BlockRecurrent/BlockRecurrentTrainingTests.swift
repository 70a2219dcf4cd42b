import NN
import Tensors
import Testing

@testable import BlockRecurrentTransformers
@testable import Trainer

/// The trainer's step with rows that resume and rows whose document begins.
@Suite("Training") struct BlockRecurrentTrainingTests {
    private func batch(_ tokens: TokenTensor, starts: [Bool]) -> TokenBatch {
        let n = tokens.shape[1] - 1
        return TokenBatch(
            inputs: tokens.columns(0..<n).values, targets: tokens.columns(1..<n + 1).values,
            shape: [tokens.shape[0], n], startsDocument: starts, textCount: tokens.shape[0] * n)
    }

    private func row(_ tokens: TokenTensor, _ index: Int) -> TokenTensor {
        let n = tokens.shape[1]
        return TokenTensor(Array(tokens.values[index * n..<(index + 1) * n]), shape: [1, n])
    }

    /// Gradients, loss and what is carried are those of each row alone, over windows of two segments and a part.
    @Test(
        "Rows that begin train beside rows that resume as each alone",
        arguments: [BlockRecurrentVariant.plain, .compressed, .lowerRead]) func rowsBeginBesideRowsThatGoOn(
            _ variant: BlockRecurrentVariant
        )
    {
        let model = makeBlockRecurrentModel(variant)
        let (first, second) = (randomTokens([2, 29], seed: 11), randomTokens([2, 29], seed: 12))
        let key = RandomKey(seed: 1)
        var together: [RecurrentMemory?] = [nil, nil]
        _ = model.stepGradients(of: [batch(first, starts: [true, true])], carries: &together, key: key)
        let step = model.stepGradients(of: [batch(second, starts: [true, false])], carries: &together, key: key)
        var (loss, sums): (Double, [String: Tensor]) = (0, [:])
        for index in 0..<2 {
            var alone: [RecurrentMemory?] = [nil]
            if index == 1 {
                _ = model.stepGradients(of: [batch(row(first, 1), starts: [true])], carries: &alone, key: key)
            }
            let own = model.stepGradients(
                of: [batch(row(second, index), starts: [index == 0])], carries: &alone, key: key)
            loss += own.loss / 2
            for (name, parameter) in model.trainable {
                guard let gradient = own.gradients[parameter] else { continue }
                sums[name] = sums[name].map { $0 + gradient * 0.5 } ?? gradient * 0.5
            }
            for (name, tensor) in alone[0]!.tensors {
                expectSameBlockRecurrent(together[index]!.tensors[name]!, tensor, name)
            }
        }
        #expect(abs(step.loss - loss) < 1e-6)
        for (name, parameter) in model.trainable {
            guard let expected = sums[name] else {
                #expect(step.gradients[parameter] == nil, "\(name)")
                continue
            }
            expectSameBlockRecurrent(step.gradients[parameter]!, expected, name)
        }
    }
}
