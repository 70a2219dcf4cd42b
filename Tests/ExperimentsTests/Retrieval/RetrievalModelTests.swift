import AttentionZooExperiments
import FastWeightTransformers
import Foundation
import NN
import Tensors
import Testing

/// The model against the paper's equations over whole vectors and memories, in float64.
@Suite struct RetrievalModelTests {
    static let memories: [RetrievalMemory] = RetrievalMemory.all(
        [.elu, .dpfp(nu: 1), .dpfp(nu: 3), .favor(directions: 40), .softmax], [.sum, .delta])
    private static let key = RandomKey(seed: 11)

    @Test("Answers and loss equal the paper's equations", arguments: memories, RetrievalSetting.allCases)
    func equalsTheEquations(_ memory: RetrievalMemory, setting: RetrievalSetting) {
        let task = RetrievalTask(setting, keys: 6)
        let model = RetrievalModel(task, memory, key: Self.key)
        for batch in [task.trainingBatch(3, key: Self.key), task.evaluationSequence(of: 6, key: Self.key)] {
            let got = model(batch, key: Self.key)
            #expect(got.shape == batch.queries.shape + [6])
            let expected = Reference(model, Self.key).answers(batch)
            let difference = zip(got.values, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
            // Weights that add up to about 1 of values of 1. The argument of an exponential has an error of some 1e-6.
            #expect(difference < 5e-6, "\(memory.name): \(difference)")
            let squares = zip(expected, Tensor.identity(6).taking(batch.targets).values)
                .reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
            let loss = Double(model.loss(batch, key: Self.key).item)
            #expect(abs(loss - squares / 2 / Double(batch.targets.count)) < 5e-6)
        }
    }

    @Test("The loss along the gradient rises by its norm, and every parameter has a gradient", arguments: memories)
    func theGradientIsTheSlope(_ memory: RetrievalMemory) throws {
        let task = RetrievalTask(.repeatedKeys, keys: 6)
        let model = RetrievalModel(task, memory, key: Self.key)
        let batch = task.trainingBatch(16, key: Self.key)
        let all = gradients(of: model.loss(batch, key: Self.key))
        let parameters = model.trainable.map(\.parameter)
        let directions = try parameters.map { try #require(all[$0]) }
        for direction in directions { #expect(direction.values.contains { $0 != 0 }) }
        let norm = directions.reduce(Float(0)) { $0 + ($1 * $1).sum().item }.squareRoot()
        let start = parameters.map { $0.value.detached() + 0 }
        func loss(_ step: Float) -> Float {
            for (index, parameter) in parameters.enumerated() {
                parameter.assign(start[index] + directions[index] * (step / norm))
            }
            return model.loss(batch, key: Self.key).item
        }
        let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2
        // Of losses of about 0.5, known to 6e-8: 6e-6. The curvature's share and kinks of DPFP are below a hundredth.
        #expect(abs(slope - norm) < 1e-2 * norm + 1e-5, "\(memory.name): \(slope), \(norm)")
    }

    /// int(1.1 · 2 S) columns of embeddings; W_k has a row for each of 64 keys and a column for each value and each of the
    /// embedding's; only the delta rule has shares.
    @Test("The number of parameters is the paper's")
    func sizesAreThePapers() {
        func count(_ memory: RetrievalMemory) -> Int {
            RetrievalModel(RetrievalTask(.repeatedKeys, keys: 20), memory, key: Self.key).parameterCount
        }
        let projections = 20 * 44 + 64 * (20 + 44) + 64 + 64 * 44 + 64
        #expect(count(RetrievalMemory(.elu, .sum)) == projections)
        #expect(count(RetrievalMemory(.elu, .delta)) == projections + 20 + 44 + 1)
    }

    @Test("Initial weights are distributed as the authors'")
    func initialWeightsAreTheAuthors() {
        func parameters(_ memory: RetrievalMemory) -> [String: [Float]] {
            let model = RetrievalModel(RetrievalTask(.distinctKeys, keys: 100), memory, key: Self.key)
            return Dictionary(uniqueKeysWithValues: model.state.map { ($0.key, $0.parameter.value.values) })
        }
        func deviation(_ values: [Float]) -> Float {
            (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
        }
        let (dpfp, softmax) = (
            parameters(RetrievalMemory(.dpfp(nu: 1), .delta)), parameters(RetrievalMemory(.softmax, .sum))
        )
        // Thousands of draws each: within a twentieth. A uniform of ±a has the deviation a / √3.
        func expect(_ values: [Float]?, _ bound: Float) {
            let values = values ?? []
            #expect(values.allSatisfy { abs($0) <= bound })
            #expect(abs(deviation(values) / bound - 1 / Float(3).squareRoot()) < 0.03)
        }
        #expect(abs(deviation(dpfp["embedding.weight"] ?? []) - 1) < 0.05)
        for name in ["key.weight", "key.values", "query.weight"] { expect(dpfp[name], 1 / 8) }
        expect(softmax["key.weight"], (6.0 / (64 + 320) as Float).squareRoot())
        expect(softmax["query.weight"], (6.0 / (64 + 220) as Float).squareRoot())
    }

    @Test("Names of memories are read and written")
    func namesAreReadAndWritten() throws {
        for name in ["elu", "dpfp1", "dpfp12", "favor64", "softmax"] { #expect(try RetrievalMap(name).name == name) }
        for name in ["", "dpfp", "dpfp0", "dpfp128", "favor-1", "elu1", "Softmax", "favor65537"] {
            #expect(
                throws: InputError(
                    "--maps: expected elu, dpfp1 to dpfp127, favor1 to favor65536 or softmax, found \"\(name)\"")
            ) { try RetrievalMap(name) }
        }
        #expect(
            RetrievalMemory.all([.softmax, .elu], [.delta, .sum]).map(\.name) == ["softmax", "elu delta", "elu sum"])
        #expect(RetrievalMemory(.dpfp(nu: 2), .delta).title == "DPFP-2, delta")
    }
}

/// Equations 15 and 24 to 28 of 2102.11174 with x = [one-hot value; embedding of the key], and memories of d × S.
private struct Reference {
    let model: RetrievalModel
    let parameters: [String: (shape: [Int], values: [Double])]
    /// [64, m], of FAVOR+.
    var directions: [Double] = []

    init(_ model: RetrievalModel, _ key: RandomKey) {
        self.model = model
        parameters = Dictionary(
            uniqueKeysWithValues: model.state.map {
                ($0.key, ($0.parameter.shape, $0.parameter.value.values.map(Double.init)))
            })
        if case .favor(let m) = model.memory.map {
            directions = favorProjection(RetrievalModel.width, features: m, key: key).values.map(Double.init)
        }
    }

    /// W [v; k] + b with W put together from its two parts.
    private func project(_ name: String, value: Int?, _ embedding: [Double]) -> [Double] {
        let weight = parameters[name + ".weight"]!
        return (0..<weight.shape[0]).map { row in
            let columns = embedding.indices.reduce(0) { $0 + weight.values[row * embedding.count + $1] * embedding[$1] }
            let own = value.map { parameters[name + ".values"]!.values[$0 * weight.shape[0] + row] } ?? 0
            return columns + own + parameters[name + ".bias"]!.values[row]
        }
    }

    private func features(_ x: [Double]) -> [Double] {
        switch model.memory.map {
        case .softmax: return x
        case .elu: return x.map { $0 > 0 ? $0 + 1 : exp($0) }
        case .dpfp(let nu):
            let r = x.map { max($0, 0) } + x.map { max(-$0, 0) }
            return (1...nu).flatMap { shift in r.indices.map { r[$0] * r[($0 - shift + r.count) % r.count] } }
        case .favor(let m):
            let h = x.reduce(0) { $0 + $1 * $1 } / 2
            let u = (0..<m).map { j in x.indices.reduce(0) { $0 + x[$1] * directions[$1 * m + j] } }
            return (u.map { exp($0 - h) } + u.map { exp(-$0 - h) }).map { $0 / Double(2 * m).squareRoot() }
        }
    }

    private func embedding(_ number: Int32) -> [Double] {
        let table = parameters["embedding.weight"]!
        return Array(table.values[Int(number) * table.shape[1]..<(Int(number) + 1) * table.shape[1]])
    }

    func answers(_ batch: RetrievalBatch) -> [Double] {
        let (b, n, m) = (batch.keys.shape[0], batch.keys.shape[1], batch.queries.shape[1])
        return (0..<b).flatMap { item -> [Double] in
            let pairs = (0..<n).map { t -> (key: [Double], value: Int, share: Double) in
                let (key, value) = (batch.keys.values[item * n + t], Int(batch.values.values[item * n + t]))
                let share = parameters["beta.weight"] == nil ? 1 : project("beta", value: value, embedding(key))[0]
                return (features(project("key", value: value, embedding(key))), value, 1 / (1 + exp(-share)))
            }
            return (0..<m).flatMap { index in
                let query = features(project("query", value: nil, embedding(batch.queries.values[item * m + index])))
                return answer(query, pairs)
            }
        }
    }

    private func answer(_ query: [Double], _ pairs: [(key: [Double], value: Int, share: Double)]) -> [Double] {
        let count = model.task.keys
        func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        func normalized(_ x: [Double]) -> [Double] {
            let sum = x.reduce(1e-6, +)
            return x.map { $0 / sum }
        }
        guard model.memory.rule == .delta else {
            var weights = pairs.map { dot(query, $0.key) }
            if model.memory.rule == nil { weights = weights.map { exp($0 / 8) } }  // √64
            let sum = weights.reduce(model.memory.rule == nil ? 0 : 1e-6, +)
            var result = [Double](repeating: 0, count: count)
            for (pair, weight) in zip(pairs, weights) { result[pair.value] += weight / sum }
            return result
        }
        var memory = [[Double]](repeating: [Double](repeating: 0, count: query.count), count: count)  // by values
        for pair in pairs {
            let key = normalized(pair.key)
            let old = memory.map { dot($0, key) }
            for row in 0..<count {
                let update = pair.share * ((row == pair.value ? 1 : 0) - old[row])
                for i in key.indices { memory[row][i] += update * key[i] }
            }
        }
        return memory.map { dot($0, normalized(query)) }
    }
}
