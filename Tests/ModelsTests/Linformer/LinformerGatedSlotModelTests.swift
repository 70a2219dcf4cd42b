import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// The language model of gated slots: its parameters and memory; causality, forms and decoding are the contract's.
@Suite struct LinformerGatedSlotModelTests {
    private func configuration(_ change: (inout LinformerConfiguration) -> Void = { _ in }) -> LinformerLMConfiguration
    {
        makeLinformerConfiguration(LinformerVariant(), .gatedSlots) {
            $0.stack.normalizesFirst = true
            change(&$0.stack)
        }
    }

    private func model(_ change: (inout LinformerConfiguration) -> Void = { _ in }) -> LinformerLM {
        let model = LinformerLM(configuration(change), key: RandomKey(seed: 7))
        moveLinformerOffInitialValues(model)
        return model
    }

    @Test("Each head of each layer has gates in place of E and F, fewer in later layers")
    func parameters() {
        let model = model { ($0.slotReduction, $0.depth, $0.intermediateChannels) = (4, 3, 8) }
        let shapes = Dictionary(uniqueKeysWithValues: model.state.map { ($0.key, $0.parameter.shape) })
        let gates = shapes.filter { $0.key.contains("to_forget") }
        #expect(!shapes.keys.contains { $0.contains("heads.") || $0.contains(".E") || $0.contains(".F") })
        let expected = (0..<3).flatMap { layer in
            (0..<2).map {
                ("linformer.seq.\(2 * layer).fn.to_forget.\($0).weight", [[6, 12], [2, 8], [1, 8]][layer])
            }
        }
        #expect(gates == Dictionary(uniqueKeysWithValues: expected))
    }

    @Test("The memory is 2 m d floats a head at any position, and there is no greatest length")
    func memory() {
        let model = model()
        #expect(model.maximumLength == nil && model.isCausal)
        var states = [model.startDecoding()]
        func bytes() -> [Int] {
            states[0].attentions.map {
                guard case .memory(let memory as GatedSlotMemory) = $0 else { return 0 }
                return memory.bytes
            }
        }
        for _ in 0..<5 {
            _ = model.decode([(0..<13).map { Int32($0 % vocabulary) }], states: &states)
            #expect(bytes() == [Int](repeating: 2 * 2 * 6 * 6 * 4, count: 2))
        }
        #expect(states[0].position == 65)
    }

    @Test("Decoding far beyond input_size is the forward pass")
    func decodesAnyLength() {
        let model = model()
        let tokens = randomLinformerTokens([1, 150])
        let logits = model(tokens)
        var states = [model.startDecoding()]
        var position = 0
        for count in [1, 60, 1, 1, 40, 33, 14] {
            let part = Array(tokens.values[position..<position + count])
            let last = model.decode([part], states: &states)
            position += count
            expectClose(
                last.values, logits.at(1, position - 1).values.map(Double.init),
                within: Rounding.bound(150 + 60, of: largest(logits.values)), "after \(position)")
        }
    }

    @Test(
        "Options of projections are refused by key",
        arguments: [
            (#""parameter_sharing": "kv""#, "parameter_sharing\": kv with causal \"gated-slots\""),
            (#""parameter_sharing": "headwise""#, "expected none"),
            (#""method": "convolution", "dim_k": 2"#, "method\": convolution with causal \"gated-slots\""),
            (#""full_attention": true"#, "full_attention\": true with causal \"gated-slots\""),
        ])
    func refusals(_ options: String, _ message: String) throws {
        let text = #"{"num_tokens": 9, "input_size": 8, "channels": 12, "causal": "gated-slots", \#(options)}"#
        let json = try JSONValue(parsing: Array(text.utf8), file: "c.json")
        let error = #expect(throws: InputError.self) { try LinformerLMConfiguration(json, file: "c.json") }
        #expect("\(error!)".contains(message), "\(error!)")
    }
}
