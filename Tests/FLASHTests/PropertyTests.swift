import FixtureSupport
import Foundation
import NN
import Tensors
import Testing
import Trainer

@testable import FLASHTransformers

/// A small model whose parameters are moved off their initial values, so that every path carries weight.
func makeModel(
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

func randomTokens(_ shape: [Int], seed: UInt64 = 3, vocabulary: Int = 11) -> TokenTensor {
    let values = RandomKey(seed: seed).integers(shape.reduce(1, *)).map { Int32($0 % UInt64(vocabulary)) }
    return TokenTensor(values, shape: shape)
}

@Suite struct PropertyTests {
    @Test("later tokens do not change earlier logits", arguments: [true, false], [true, false])
    func laterTokensDoNotChangeEarlierLogits(laplace: Bool, shift: Bool) {
        let model = makeModel(laplace: laplace, shift: shift)
        let tokens = randomTokens([2, 23])
        let before = model(tokens)
        for t in [0, 4, 5, 12, 22] {
            var changed = tokens
            for row in 0..<2 { changed.values[row * 23 + t] = (changed.values[row * 23 + t] + 1) % 11 }
            let after = model(changed)
            #expect(after.sliced(1, to: t).values == before.sliced(1, to: t).values, "position \(t)")
            #expect(after.at(1, t).values != before.at(1, t).values, "position \(t)")
        }
    }

    @Test("every later position sees the first token") func everyLaterPositionSeesTheFirstToken() {
        let model = makeModel()
        var tokens = randomTokens([1, 23])
        let before = model(tokens)
        tokens.values[0] = (tokens.values[0] + 1) % 11
        let after = model(tokens)
        for t in 0..<23 { #expect(after.at(1, t).values != before.at(1, t).values, "position \(t)") }
    }

    @Test("decoding equals the forward pass at every position", arguments: [true, false], [3, 8])
    func decodingEqualsTheForwardPass(laplace: Bool, groupSize: Int) {
        let norm: NormType = laplace == (groupSize == 3) ? .scaleNorm : .layerNorm
        let model = makeModel(laplace: laplace, groupSize: groupSize, norm: norm, shift: laplace)
        let tokens = randomTokens([1, 29])
        let full = model(tokens).reshaped([29, 11])
        // One by one, and in pieces that end before, at and after group boundaries.
        for pieces in [Array(repeating: 1, count: 29), [29], [8, 1, 7, 13], [2, 3, 3, 1, 15, 5]] {
            var states = [model.startDecoding()]
            var position = 0
            for piece in pieces {
                let next = Array(tokens.values[position..<position + piece])
                let logits = model.decode([next], states: &states)
                position += piece
                // The products are cut differently, so sums round differently: some 1e-6 of the largest logit.
                expectClose(
                    logits, full.sliced(0, from: position - 1, to: position), through: model, positions: 29,
                    "position \(position)")
            }
            #expect(states[0].position == 29)
        }
    }

    @Test("sequences of unequal length decode as they do alone") func sequencesOfUnequalLengthDecodeAsAlone() {
        let model = makeModel()
        let lengths = [1, 7, 19, 5]
        let rows = lengths.enumerated().map { randomTokens([$1], seed: UInt64($0)).values }
        var together = rows.map { _ in model.startDecoding() }
        _ = model.decode(rows, states: &together)
        let step = model.decode(rows.map { [$0[0]] }, states: &together)
        for (index, row) in rows.enumerated() {
            let alone = model(TokenTensor(row + [row[0]], shape: [1, row.count + 1])).at(1, row.count)
            expectClose(
                step.sliced(0, from: index, to: index + 1), alone, through: model, positions: 29, "row \(index)")
        }
    }

    @Test("generation reads long prompts in pieces") func longPromptsAreReadInPieces() throws {
        let model = makeModel(groupSize: 7)
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

    @Test("the decoding state does not grow with the text") func theStateDoesNotGrowWithTheText() {
        let model = makeModel()
        var states = [model.startDecoding()]
        func bytes() -> Int { states[0].layers.reduce(0) { $0 + $1.bytes } }
        _ = model.decode([[1]], states: &states)
        let start = bytes()
        #expect(start > 0)
        for length in [1, 6, 300] {
            _ = model.decode([randomTokens([length]).values], states: &states)
            #expect(bytes() == start, "after \(length) more tokens")
        }
    }

    @Test("a copied state is a branch of the text") func aCopiedStateIsABranch() {
        let model = makeModel()
        var first = [model.startDecoding()]
        _ = model.decode([[1, 2, 3, 4, 5, 6, 7]], states: &first)
        var second = first
        _ = model.decode([[8, 9]], states: &second)
        let logits = model.decode([[3]], states: &first)
        expectClose(
            logits, model(TokenTensor([1, 2, 3, 4, 5, 6, 7, 3], shape: [1, 8])).at(1, 7), through: model, positions: 8,
            "branch")
    }

    @Test("padding on the right equals truncation", arguments: [true, false])
    func paddingOnTheRightEqualsTruncation(perRow: Bool) {
        let model = makeModel()
        let tokens = randomTokens([2, 14])
        let ones = (0..<14).map { Float($0 < 9 ? 1 : 0) }
        let mask = perRow ? Tensor(ones + ones, shape: [2, 14]) : Tensor(ones)
        let padded = model(tokens, mask: mask).sliced(1, to: 9)
        let short = TokenTensor(Array(tokens.values[0..<9]) + Array(tokens.values[14..<23]), shape: [2, 9])
        expectClose(padded, model(short), through: model, positions: 14, "logits")
    }

    @Test("masked tokens pass nothing with mask_token_shift and divide_by_valid_count")
    func maskedTokensPassNothingWithTheOptions() {
        // With both corrections, what stands in masked places cannot matter, and neither can their number.
        for reduces in [true, false] {
            let model = makeModel(causal: false, reduces: reduces) {
                $0.masksTokenShift = true
                $0.dividesByValidCount = true
            }
            let mask = Tensor((0..<14).map { Float($0 == 3 || $0 >= 9 ? 0 : 1) })
            var tokens = randomTokens([1, 14])
            let before = model(tokens, mask: mask)
            for place in [3, 9, 13] { tokens.values[place] = (tokens.values[place] + 4) % 11 }
            let after = model(tokens, mask: mask)
            for t in (0..<9) where t != 3 {
                expectClose(after.at(1, t), before.at(1, t), through: model, positions: 14, "position \(t)")
            }
            let short = TokenTensor(Array(tokens.values[0..<9]), shape: [1, 9])
            let truncated = model(short, mask: mask.sliced(0, to: 9))
            expectClose(before.sliced(1, to: 3), truncated.sliced(1, to: 3), through: model, positions: 14, "truncated")
        }
    }

    @Test("odd widths work") func oddWidthsWork() {
        // flash-pytorch crashes on an odd model width, and on an odd query/key width below 32.
        let model = makeModel(queryKeyDimension: 7, dimension: 15)
        let tokens = randomTokens([1, 12])
        var states = [model.startDecoding()]
        let logits = model.decode([tokens.values], states: &states)
        expectClose(logits, model(tokens).at(1, 11), through: model, positions: 12, "logits")
    }

    @Test("gradients agree with central differences", arguments: [0, 1, 2])
    func gradientsAgreeWithCentralDifferences(kind: Int) throws {
        // The fixtures hold no case with several threads on one sequence or with dropout; differences cover both.
        let model = makeModel(causal: kind == 0, reduces: kind == 1) { $0.attentionDropout = 0.3 }
        let (tokens, targets) = (randomTokens([1, 17]), randomTokens([1, 17], seed: 4))
        let mode = ForwardMode.training(RandomKey(seed: 5))
        func loss() -> Tensor { crossEntropy(model(tokens, mode: mode), targets) }
        let all = gradients(of: loss())
        for (index, (key, parameter)) in model.trainable.enumerated() {
            let direction = Tensor.normal(parameter.shape, key: RandomKey(seed: 6).child(index))
            let step: Float = 2e-3 / direction.values.map { $0 * $0 }.reduce(0, +).squareRoot()
            let start = parameter.value.detached() * 1
            parameter.assign(start + direction * step)
            let above = withoutGradients { loss().item }
            parameter.assign(start - direction * step)
            let below = withoutGradients { loss().item }
            parameter.assign(start)
            let numeric = (above - below) / (2 * step)
            let analytic = (try #require(all[parameter], "\(key)") * direction).sum().item
            // The loss is known to 2e-7, so a quotient over a step of length 2e-3 to about 1e-4 of the unit direction.
            let scale = direction.values.map { $0 * $0 }.reduce(0, +).squareRoot()
            #expect(abs(numeric - analytic) <= 3e-4 * scale + 0.01 * abs(analytic), "\(key): \(analytic), \(numeric)")
        }
    }

    @Test("dropout repeats with its key and is off in inference") func dropoutRepeatsWithItsKeyAndIsOffInInference() {
        let model = makeModel { $0.attentionDropout = 0.5 }
        let tokens = randomTokens([2, 12])
        let key = RandomKey(seed: 9)
        #expect(model(tokens, mode: .training(key)).values == model(tokens, mode: .training(key)).values)
        #expect(model(tokens, mode: .training(key)).values != model(tokens, mode: .training(key.child(1))).values)
        #expect(model(tokens).values == model(tokens, mode: .inference).values)
        #expect(model(tokens).values != model(tokens, mode: .training(key)).values)
    }

    @Test("one sequence split over threads equals a batch of two") func unitsOfWorkAgree() {
        // One unit a sequence, and one sequence cut over threads, add up to the same.
        let model = makeModel(groupSize: 3)
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

    @Test("a fixed score divisor makes prefixes of GAU independent of the rest") func unfixedAndFixedNormOfGAU() {
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

    @Test("several threads run one model") func severalThreadsRunOneModel() async {
        let model = makeModel()
        let batches = (0..<8).map { randomTokens([2, 23], seed: UInt64($0)) }
        let alone = batches.map { model($0).values }
        let together = await withTaskGroup(of: (Int, [Float]).self) { group in
            for (index, batch) in batches.enumerated() {
                group.addTask { (index, withoutGradients { model(batch).values }) }
            }
            var results = [[Float]](repeating: [], count: batches.count)
            for await (index, values) in group { results[index] = values }
            return results
        }
        #expect(together == alone)
    }

    @Test("a saved model loads with the same bits") func aModelSurvivesItsFile() throws {
        let model = makeModel()
        let path = NSTemporaryDirectory() + "flash-\(UUID().uuidString).safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try model.save(to: path)
        let again = FLASHTransformer(model.configuration, key: RandomKey(seed: 99))
        let tokens = randomTokens([2, 13])
        #expect(again(tokens).values != model(tokens).values)
        try again.load(from: path)
        #expect(again(tokens).values == model(tokens).values)
    }

    @Test("a model needs the configuration of a model") func aModelNeedsAVocabulary() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = FLASHTransformer(.layer(dimension: 8), key: RandomKey(seed: 1))
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("FLASHTransformer: the configuration of a layer"))
    }

    @Test("a wrong shape is named with its operation") func wrongShapesNameTheOperation() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = FLASH(.layer(dimension: 8), key: RandomKey(seed: 1))(Tensor.zeros([1, 3, 9]))
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("FLASH: x [1, 3, 9], expected [b, n, 8]"))
    }
}
