import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// torch.optim.Adafactor on given gradients, made by Scripts/make_fixtures.py; and steps of Adam by the parameter's size.
@Suite("Adafactor and steps by a parameter's size") struct AdafactorTests {
    private static let file = try! SafetensorsFile(
        path: Bundle.module.url(forResource: "adafactor", withExtension: "safetensors", subdirectory: "Fixtures")!.path)
    private static let keys = ["weight", "bias", "small", "batch", "scale"]
    private static let cases: [(name: String, options: OptimizerOptions, learningRate: Double)] = [
        ("adafactor", .adafactor(), 1e-2),
        (
            "adafactor-options",
            .adafactor(decayExponent: 0.6, updateLimit: 1.5, leastSize: 0.05, weightDecay: 0.1), 0.9
        ),
    ]

    private func parameters() throws -> [(key: String, parameter: Parameter)] {
        try Self.keys.map { ($0, Parameter(try Self.file.tensor("initial/" + $0))) }
    }

    private func gradients(
        _ parameters: [(key: String, parameter: Parameter)], step: Int, factor: Float = 1
    ) throws -> Gradients {
        var gradients = Gradients()
        for (key, parameter) in parameters {
            gradients[parameter] = try Self.file.tensor("gradients/" + key).at(0, step) * factor
        }
        return gradients
    }

    @Test("Ten steps agree with PyTorch", arguments: cases.indices) func tenSteps(_ index: Int) throws {
        let (name, options, learningRate) = Self.cases[index]
        let parameters = try parameters()
        let optimizer = Optimizer(parameters, options)
        for step in 0..<10 {
            let doubled = try gradients(parameters, step: step, factor: 2)
            optimizer.update(doubled, learningRate: learningRate, scale: 0.5)
            for (key, parameter) in parameters {
                let expected = try Self.file.tensor("\(name)/\(key)").at(0, step)
                let largest = expected.values.map { abs($0) }.max()!
                for (a, b) in zip(parameter.value.values, expected.values) {
                    // Values after steps of their own size: a few units in the last place a step.
                    #expect(abs(a - b) <= 3e-6 * largest, "\(key) after step \(step + 1)")
                }
            }
        }
    }

    @Test("A saved state continues with the same bits", arguments: cases.indices) func resumes(_ index: Int) throws {
        let (_, options, learningRate) = Self.cases[index]
        let path = try TemporaryFolder().path + "-adafactor.safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (one, two) = (try parameters(), try parameters())
        let (optimizer, resumed) = (Optimizer(one, options), Optimizer(two, options))
        for step in 0..<4 { optimizer.update(try gradients(one, step: step), learningRate: learningRate) }
        try optimizer.save(to: path)
        #expect(try SafetensorsFile(path: path).entry("row_moment/weight").shape == [3, 1])
        #expect(try SafetensorsFile(path: path).entry("column_moment/batch").shape == [2, 1, 4])
        for (a, b) in zip(one, two) { b.parameter.assign(a.parameter.value) }
        try resumed.load(from: path)
        for step in 4..<7 {
            optimizer.update(try gradients(one, step: step), learningRate: learningRate)
            resumed.update(try gradients(two, step: step), learningRate: learningRate)
        }
        for (a, b) in zip(one, two) { #expect(a.parameter.value.values == b.parameter.value.values) }
    }

    @Test("A matrix keeps a row and a column of moments") func momentsAreFactored() {
        #expect(OptimizerOptions.adafactor().momentCount(of: [300, 200]) == 500)
        #expect(OptimizerOptions.adafactor().momentCount(of: [300]) == 300)
        #expect(OptimizerOptions.adam().momentCount(of: [300, 200]) == 120_000)
        #expect(OptimizerOptions.sgd().momentCount(of: [300]) == 0)
    }

    /// The first step of Adam is the learning rate in each element, whatever the gradient.
    @Test("Steps of Adam go by the parameter's size, weight decay does not") func stepsGoBySize() {
        var options = OptimizerOptions.adamW(weightDecay: 0.5)
        options.scalesByParameter = true
        let (large, small) = (Parameter(Tensor([3, 4])), Parameter(Tensor([1e-6, -1e-6])))
        let optimizer = Optimizer([("large", large), ("small", small)], options)
        var gradients = Gradients()
        (gradients[large], gradients[small]) = (Tensor([1, -2]), Tensor([1, -2]))
        optimizer.update(gradients, learningRate: 0.1)
        let step = Float(0.1 * 12.5.squareRoot())
        for (a, b) in zip(large.value.values, [3 * 0.95 - step, 4 * 0.95 + step]) { #expect(abs(a - b) < 1e-6) }
        // Small parameters move by the least size.
        for (a, b) in zip(small.value.values, [1e-6 * 0.95 - 1e-4, -1e-6 * 0.95 + 1e-4]) {
            #expect(abs(a - Float(b)) < 1e-9)
        }
    }

    @Test("Groups have rates and weight decays of their own") func groups() {
        let (weight, bias) = (Parameter(Tensor([1, 2])), Parameter(Tensor([1, 2])))
        let optimizer = Optimizer(
            [("layers.0.weight", weight), ("layers.0.bias", bias)], .sgd(weightDecay: 1),
            groups: [ParameterGroup("*.bias", rateFactor: 0.5, weightDecay: 0), ParameterGroup("*", rateFactor: 2)])
        var gradients = Gradients()
        (gradients[weight], gradients[bias]) = (Tensor([1, 1]), Tensor([1, 1]))
        optimizer.update(gradients, learningRate: 0.1)
        for (a, b) in zip(weight.value.values, [1 - 0.2 * 2, 2 - 0.2 * 3]) { #expect(abs(a - Float(b)) < 1e-6) }
        for (a, b) in zip(bias.value.values, [0.95, 1.95]) { #expect(abs(a - Float(b)) < 1e-6) }
    }

    @Test(
        "Patterns match keys",
        arguments: [
            ("*.bias", "layers.0.bias", true), ("*.bias", "layers.0.weight", false),
            ("layers.*.weight", "layers.3.0.weight", true),
            ("layers.*.weight", "layers.weight", false), ("norm", "norm", true), ("norm", "norm.g", false),
            ("*", "any", true),
            ("a*b*c", "axbyc", true), ("a*b*c", "axc", false), ("ab*ba", "aba", false),
        ]) func patterns(_ pattern: String, _ key: String, _ matches: Bool)
    {
        #expect(ParameterGroup(pattern).contains(key) == matches)
    }

    @Test("Settings survive their JSON form, and those without effect are refused") func settings() throws {
        for (_, options, _) in Self.cases { #expect(try OptimizerOptions(options.json, file: "x") == options) }
        var scaled = OptimizerOptions.adam()
        scaled.scalesByParameter = true
        #expect(try OptimizerOptions(scaled.json, file: "x") == scaled)
        try scaled.validate()
        var wrong = OptimizerOptions.adafactor()
        wrong.scalesByParameter = true
        expectError(naming: "scalesByParameter", "adam", "adafactor") {
            try wrong.validate()
        }
        expectError("updateLimit: expected a number of at least 1, found 0.5") {
            try OptimizerOptions.adafactor(updateLimit: 0.5).validate()
        }
    }
}
