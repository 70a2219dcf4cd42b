import FastWeightTransformers
import NN
import Tensors

/// The model of the retrieval tasks, with the dimensions of the authors' code: one head without values of its own.
///
/// Keys of the task are embedded, their values are one-hot. With x = [value; embedding of the key], a memory's keys are
/// W_k x, its queries W_q times the embedding, and the shares of the delta rule σ(W_b x).
///
/// As values are one-hot and there are S embeddings, W x is a sum of two rows of tables of S rows: a step costs next to
/// nothing beside the memory.
///
/// Keys: embedding.weight [S, e]; key.weight [d, e], key.values [S, d] (the columns of W_k for the value), key.bias;
/// query.weight [d, e], query.bias; with the delta rule beta.weight [1, e], beta.values [S, 1], beta.bias.
package struct RetrievalModel: Module {
    /// d, the width of keys and queries before the feature map.
    package static let width = 64

    /// The task.
    package let task: RetrievalTask
    /// The memory.
    package let memory: RetrievalMemory
    let embedding: Parameter
    let key: ProjectionOfPairs
    let query: Linear
    let beta: ProjectionOfPairs?

    /// - Parameter key: what the initial parameters are drawn from: embeddings N(0, 1), W_k and W_q uniform in ±1/√d (for
    ///   softmax by Glorot's rule), W_b and biases as those of PyTorch's linear layers.
    package init(_ task: RetrievalTask, _ memory: RetrievalMemory, key random: RandomKey) {
        let (s, d) = (task.keys, Self.width)
        // int((S + S) · 1.1) in float64 as the authors compute it, which is exact to the last whole number.
        let e = Int(Double(2 * s) * 1.1)
        (self.task, self.memory) = (task, memory)
        embedding = Parameter(.normal([s, e], key: random.child(0)))
        let isSoftmax = memory.map == .softmax
        func bound(_ inputs: Int) -> Float {
            isSoftmax ? (6 / Float(d + inputs)).squareRoot() : 1 / Float(d).squareRoot()
        }
        key = ProjectionOfPairs(values: s, embedding: e, d, bound: bound(s + e), key: random.child(1))
        query = Linear(e, d, key: random.child(2))
        query.weight.assign(.uniform([d, e], low: -bound(e), high: bound(e), key: random.child(3)))
        beta =
            memory.rule == .delta
            ? ProjectionOfPairs(
                values: s, embedding: e, 1, bound: 1 / Float(s + e).squareRoot(), key: random.child(4)) : nil
    }

    /// The values that the memory gives for the queries: [b, m, S].
    /// - Parameter key: what FAVOR+ draws its directions from.
    package func callAsFunction(_ batch: RetrievalBatch, key: RandomKey) -> Tensor {
        let e = embedding.value
        var directions: Tensor?
        if case .favor(let count) = memory.map { directions = favorProjection(Self.width, features: count, key: key) }
        let weights = memory.weights(
            query(e).taking(batch.queries), self.key(batch, e),
            beta: sigmoid(beta!(batch, e).squeezed(-1)), directions: directions)
        return summedByValue(weights, batch.values, count: task.keys)
    }

    /// ½ Σ (ŷ − y)², y the one-hot target, meaned over all queries.
    package func loss(_ batch: RetrievalBatch, key: RandomKey) -> Tensor {
        let difference = self(batch, key: key) - Tensor.identity(task.keys).taking(batch.targets)
        return (difference * difference).sum() * (0.5 / Float(max(batch.targets.count, 1)))
    }

    package func collect(into state: inout StateCollector) {
        state.add("embedding.weight", embedding)
        state.add("key", key)
        state.add("query", query)
        if let beta { state.add("beta", beta) }
    }
}

/// W [one-hot value; embedding of the key] + bias.
struct ProjectionOfPairs: Module {
    let weight: Parameter
    let values: Parameter
    let bias: Parameter

    init(values count: Int, embedding e: Int, _ outputs: Int, bound: Float, key: RandomKey) {
        func uniform(_ shape: [Int], _ bound: Float, _ index: Int) -> Parameter {
            Parameter(.uniform(shape, low: -bound, high: bound, key: key.child(index)))
        }
        weight = uniform([outputs, e], bound, 0)
        values = uniform([count, outputs], bound, 1)
        bias = uniform([outputs], 1 / Float(count + e).squareRoot(), 2)
    }

    /// embeddings: [S, e] → [b, n, out]
    func callAsFunction(_ batch: RetrievalBatch, _ embeddings: Tensor) -> Tensor {
        linear(embeddings, weight: weight.value, bias: bias.value).taking(batch.keys)
            + values.value.taking(batch.values)
    }

    func collect(into state: inout StateCollector) {
        state.add("weight", weight)
        state.add("values", values)
        state.add("bias", bias)
    }
}
