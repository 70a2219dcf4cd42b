import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing
import Trainer

@testable import FLASHTransformers

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeFLASHModel(
    causal: Bool = true, laplace: Bool = false, groupSize: Int = 5, norm: NormType = .scaleNorm, shift: Bool = true,
    queryKeyDimension: Int = 12, reduces: Bool = true, dimension: Int = 16,
    change: (inout FLASHConfiguration) -> Void = { _ in }
) -> FLASHTransformer {
    var configuration = FLASHConfiguration(tokens: 11, dimension: dimension, depth: 2)
    configuration.isCausal = causal
    configuration.usesLaplace = laplace
    configuration.groupSize = groupSize
    configuration.queryKeyDimension = queryKeyDimension
    configuration.normType = norm
    configuration.shiftsTokens = shift
    configuration.reducesGroups = reduces
    change(&configuration)
    let model = FLASHTransformer(configuration, key: RandomKey(seed: 7))
    moveParameters(of: model)
    return model
}

/// Moves parameters off their initial values, so that every path carries weight.
func moveParameters(of module: any Module) {
    for (index, (key, parameter)) in module.trainable.enumerated() {
        let noise = Tensor.normal(parameter.shape, standardDeviation: 0.1, key: RandomKey(seed: 8).child(index))
        let scale: Float = key.hasSuffix("gamma") ? 20 : key.hasSuffix("attention_bias.weight") ? 0.2 : 1
        parameter.assign(parameter.value.detached() * scale + noise)
    }
}

@Suite struct FLASHPropertyTests {
    @Test("Every later position sees the first token") func everyLaterPositionSeesTheFirstToken() {
        let model = makeFLASHModel()
        var tokens = randomTokens([1, 23])
        let before = model(tokens)
        tokens.values[0] = (tokens.values[0] + 1) % 11
        let after = model(tokens)
        for t in 0..<23 { #expect(after.at(1, t).values != before.at(1, t).values, "position \(t)") }
    }

    @Test("The initial scales of queries and keys have the deviation that is asked for, and nothing else changes")
    func initialScales() throws {
        func model(_ deviation: Double?) throws -> FLASHTransformer {
            var json: [String: JSONValue] = ["num_tokens": .integer(11), "dim": .integer(16), "depth": .integer(2)]
            json["gamma_std"] = deviation.map { .number($0) }
            return FLASHTransformer(try FLASHConfiguration(.object(json), file: "config.json"), key: RandomKey(seed: 1))
        }
        for (usual, wide) in zip(try model(nil).trainable, try model(2).trainable) {
            let factor: Float = usual.key.hasSuffix("qk_offset_scale.gamma") ? 100 : 1
            expectClose(wide.parameter.value, usual.parameter.value * factor, roundings: 2, usual.key)
        }
        let gamma = try #require(try model(1).trainable.first { $0.key.hasSuffix("qk_offset_scale.gamma") })
        let squares = gamma.parameter.value.values.map { Double($0 * $0) }
        // 512 draws: their variance is within a fifth of 1 but for one in 500.
        #expect(abs(squares.reduce(0, +) / Double(squares.count) - 1) < 0.2)
        #expect(throws: InputError.self) { try model(-1) }
    }

    @Test("Generation reads long prompts in pieces") func longPromptsAreReadInPieces() throws {
        let model = makeFLASHModel(groupSize: 7)
        let prompts = [randomTokens([2600]).values, randomTokens([3], seed: 5).values]
        let rows = try model.generate(prompts, length: 2, sampling: .greedy)
        for (prompt, row) in zip(prompts, rows) {
            var text = prompt
            for token in row {
                let logits = model(TokenTensor(text, shape: [1, text.count])).at(1, text.count - 1)
                #expect(logits.argmax().values == [token])
                text.append(token)
            }
        }
    }

    @Test("One mask for all rows equals a mask for each", arguments: [true, false])
    func oneMaskForAllRows(causal: Bool) {
        let model = makeFLASHModel(causal: causal)
        let tokens = randomTokens([2, 14])
        let ones = (0..<14).map { Float($0 < 9 && $0 != 3 ? 1 : 0) }
        let each = model(tokens, mask: Tensor(ones + ones, shape: [2, 14]))
        #expect(model(tokens, mask: Tensor(ones)).values == each.values && each.values != model(tokens).values)
    }

    @Test("One sequence split over threads equals a batch of two") func unitsOfWorkAgree() {
        // One unit a sequence, and one sequence cut over threads, add up to the same.
        let model = makeFLASHModel(groupSize: 3)
        let tokens = randomTokens([1, 31])
        let twice = TokenTensor(tokens.values + tokens.values, shape: [2, 31])
        expectClose(model(twice).sliced(0, to: 1), model(tokens), through: model, positions: 31, "logits")
    }

    @Test("GAU drops weights and output") func dropoutOfGAUFallsOnWeightsAndOutput() {
        var options = GAU.Options(dimension: 8)
        options.dropout = 0.5
        options.addsResidual = false
        let layer = GAU(options, key: RandomKey(seed: 2))
        // A bias of 1 makes zeros of the output stand out; gamma makes the attention weights matter.
        layer.toOut.bias!.assign(.ones([8]))
        layer.offsetScale.gamma.assign(layer.offsetScale.gamma.value.detached() * 50)
        let x = Tensor.normal([2, 40, 8], key: RandomKey(seed: 1))
        let (plain, dropped) = (layer(x).values, layer(x, mode: .training(RandomKey(seed: 3))).values)
        let zeros = dropped.filter { $0 == 0 }.count
        // 640 draws at 1/2: 320 ± 13.
        #expect((250...390).contains(zeros))
        // What is kept of the output is doubled; if the weights were not dropped too, it would be exactly that.
        #expect(zip(plain, dropped).contains { $1 != 0 && abs($1 - 2 * $0) > 1e-3 })
        #expect(!plain.contains(0))
    }

    @Test("A fixed score divisor makes prefixes of GAU independent of the rest") func unfixedAndFixedNormOfGAU() {
        var options = GAU.Options(dimension: 8)
        options.queryKeyDimension = 6
        options.isCausal = true
        let x = Tensor.normal([1, 9, 8], key: RandomKey(seed: 1))
        let growing = GAU(options, key: RandomKey(seed: 2))
        #expect(growing(x).sliced(1, to: 4).values != growing(x.sliced(1, to: 4)).values)
        options.scoreDivisor = 9
        let fixed = GAU(options, key: RandomKey(seed: 2))
        expectClose(fixed(x).sliced(1, to: 4), fixed(x.sliced(1, to: 4)), through: fixed, positions: 9, "prefix")
    }

    @Test("A model needs the configuration of a model") func aModelNeedsAVocabulary() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = FLASHTransformer(.layer(dimension: 8), key: RandomKey(seed: 1))
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("FLASHTransformer: the configuration of a layer"))
    }

    @Test("A wrong shape is named with its operation") func wrongShapesNameTheOperation() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = FLASH(.layer(dimension: 8), key: RandomKey(seed: 1))(Tensor.zeros([1, 3, 9]))
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("FLASH: x [1, 3, 9], expected [b, n, 8]"))
    }
}
