import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// Torch's optimisers on given gradients, made by Scripts/make_fixtures.py.
@Suite struct OptimizerTests {
    static let file = try! SafetensorsFile(
        path: Bundle.module.url(forResource: "optimizers", withExtension: "safetensors", subdirectory: "Fixtures")!.path
    )
    static let keys = ["weight", "bias", "scale"]

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let options: OptimizerOptions
        let learningRate: Double
        var testDescription: String { name }
    }
    static let cases = [
        Case(name: "adam", options: .adam(), learningRate: 1e-2),
        Case(name: "adam-weight-decay", options: .adam(epsilon: 1e-6, weightDecay: 0.1), learningRate: 2e-2),
        Case(name: "adamw", options: .adamW(beta1: 0.8, beta2: 0.95, weightDecay: 0.1), learningRate: 1e-2),
        Case(name: "sgd", options: .sgd(), learningRate: 0.1),
        Case(name: "sgd-momentum", options: .sgd(momentum: 0.9), learningRate: 0.05),
    ]

    func parameters() throws -> [(key: String, parameter: Parameter)] {
        try Self.keys.map { ($0, Parameter(try Self.file.tensor("initial/" + $0))) }
    }

    func gradients(_ parameters: [(key: String, parameter: Parameter)], step: Int) throws -> Gradients {
        var gradients = Gradients()
        for (key, parameter) in parameters {
            gradients[parameter] = row(step, of: try Self.file.tensor("gradients/" + key), parameter.shape)
        }
        return gradients
    }

    func row(_ step: Int, of tensor: Tensor, _ shape: [Int]) -> Tensor {
        let count = shape.reduce(1, *)
        return Tensor(Array(tensor.values[step * count..<(step + 1) * count]), shape: shape)
    }

    @Test("Five steps agree with PyTorch", arguments: cases)
    func fiveStepsAgreeWithTorch(_ test: Case) throws {
        let parameters = try parameters()
        let optimizer = Optimizer(parameters, test.options)
        for step in 0..<5 {
            // Gradients twice as large, halved by the update: the scale is applied.
            let doubled = try gradients(parameters, step: step)
            var scaled = Gradients()
            for (_, parameter) in parameters { scaled[parameter] = doubled[parameter]! * 2 }
            optimizer.update(scaled, learningRate: test.learningRate, scale: 0.5)
            for (key, parameter) in parameters {
                let expected = row(step, of: try Self.file.tensor("\(test.name)/\(key)"), parameter.shape)
                for (a, b) in zip(parameter.value.values, expected.values) {
                    // Values are of order 1 and steps of order 1e-2: a few units in the last place a step.
                    #expect(abs(a - b) <= 1e-6, "\(key) after step \(step + 1)")
                }
            }
        }
    }

    @Test("A parameter without a gradient keeps its value and its step count")
    func aParameterWithoutGradientIsLeftAlone() throws {
        let parameters = try parameters()
        let optimizer = Optimizer(parameters, .adamW(weightDecay: 0.5))
        var some = try gradients(parameters, step: 0)
        some[parameters[1].parameter] = nil
        optimizer.update(some, learningRate: 0.1)
        let initial = try Self.file.tensor("initial/bias").values
        #expect(parameters[1].parameter.value.values == initial)
        #expect(parameters[0].parameter.value.values != (try Self.file.tensor("initial/weight").values))
        // Its first step is the first one with a gradient: bias correction starts there.
        optimizer.update(try gradients(parameters, step: 1), learningRate: 0.1)
        #expect(optimizer.slots.map(\.steps) == [2, 1, 2])
    }

    @Test("Gradients are clipped as in PyTorch")
    func clippingIsTorchs() throws {
        let parameters = try parameters()
        let all = try gradients(parameters, step: 2)
        let optimizer = Optimizer(parameters)
        let squares = parameters.flatMap { all[$0.parameter]!.values }.reduce(0.0) { $0 + Double($1) * Double($1) }
        let norm = optimizer.globalNorm(of: all)
        #expect(abs(norm - squares.squareRoot()) <= 1e-12 * norm)  // both sums in float64
        #expect(Optimizer.clippingScale(norm: 2, limit: 0.5) == 0.5 / (2 + 1e-6))
        #expect(Optimizer.clippingScale(norm: 0.4, limit: 0.5) == 1)
        #expect(Optimizer.clippingScale(norm: 0, limit: 0.5) == 1)
        #expect(Optimizer.clippingScale(norm: 9, limit: nil) == 1)
    }

    @Test("A large parameter is updated as its pieces are, at any thread count")
    func largeParametersAreUpdatedWholeWhateverTheThreads() throws {
        // More than two chunks, with an odd rest, against an optimiser that sees one chunk a parameter.
        let count = (1 << 17) + 77
        let (start, gradient) = (
            Tensor.normal([count], key: RandomKey(seed: 1)), Tensor.normal([count], key: RandomKey(seed: 2))
        )
        let whole = Parameter(start)
        let pieces = stride(from: 0, to: count, by: 1000).map { from in
            (from, Parameter(Tensor(Array(start.values[from..<min(count, from + 1000)]))))
        }
        var (gradients, cut) = (Gradients(), Gradients())
        gradients[whole] = gradient
        for (from, piece) in pieces { cut[piece] = Tensor(Array(gradient.values[from..<from + piece.count])) }
        let optimizer = Optimizer([("whole", whole)])
        let other = Optimizer(pieces.map { ("\($0)", $1) })
        optimizer.update(gradients, learningRate: 0.1)
        other.update(cut, learningRate: 0.1)
        #expect(whole.value.values == pieces.flatMap(\.1.value.values))
        // Sums in float64 of the same squares, in different orders.
        let (a, b) = (optimizer.globalNorm(of: gradients), other.globalNorm(of: cut))
        #expect(abs(a - b) <= 1e-12 * a)
    }

    // MARK: State

    @Test("A saved state continues with the same bits", arguments: cases)
    func aSavedStateContinuesWithTheSameBits(_ test: Case) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/state.safetensors"
        let (one, two) = (try parameters(), try parameters())
        let optimizer = Optimizer(one, test.options)
        for step in 0..<3 { optimizer.update(try gradients(one, step: step), learningRate: test.learningRate) }
        try optimizer.save(to: path, metadata: ["step": "3"])
        #expect(try SafetensorsFile(path: path).metadata["step"] == "3")

        let resumed = Optimizer(two, test.options)
        for (a, b) in zip(one, two) { b.parameter.assign(a.parameter.value) }
        try resumed.load(from: path)
        for step in 3..<5 {
            optimizer.update(try gradients(one, step: step), learningRate: test.learningRate)
            resumed.update(try gradients(two, step: step), learningRate: test.learningRate)
        }
        for (a, b) in zip(one, two) { #expect(a.parameter.value.values == b.parameter.value.values) }
    }

    @Test("A state of another optimizer or other parameters is refused")
    func aStateThatDoesNotFitIsRefused() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/state.safetensors"
        let parameters = try parameters()
        try Optimizer(parameters, .adam()).save(to: path)
        expectError("\(path): expected the state of \"sgd\", found that of \"adam\"") {
            try Optimizer(parameters, .sgd()).load(from: path)
        }
        expectError("\(path): expected the state of 2 parameters and nothing else") {
            let fewer = Optimizer(Array(parameters.prefix(2)), .adam())
            try Optimizer(parameters, .adam()).save(to: path)
            var writer = SafetensorsWriter(metadata: ["optimizer": "adam"])
            let file = try SafetensorsFile(path: path)
            try writer.add("steps", shape: [2], int64s: [0, 0])
            for name in file.names where name != "steps" { try writer.add(name, try file.tensor(name)) }
            try writer.write(to: path)
            try fewer.load(from: path)
        }
        try Optimizer([("weight", Parameter(.zeros([4])))], .adam()).save(to: path)
        expectError("\(path): \"first_moment/weight\": expected F32 [3, 5], found F32 [4]") {
            try Optimizer(Array(parameters.prefix(1)), .adam()).load(from: path)
        }
        try parameters[0].parameter.value.values.withUnsafeBytes { try AtomicFile.write(Data($0), to: path) }
        #expect(throws: InputError.self) { try Optimizer(parameters).load(from: path) }
    }
}
