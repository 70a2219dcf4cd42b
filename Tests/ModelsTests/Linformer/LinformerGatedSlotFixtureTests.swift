import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// Agreement of gated slots with flash-linear-attention's plain function (Scripts/fixtures/gated_slots.py).
@Suite struct LinformerGatedSlotFixtureTests {
    private static let inputs = ["q", "k", "v", "log_forget", "state_keys", "state_values"]

    @Test(
        "Gated slots agree with flash-linear-attention, cut anywhere", arguments: Fixture.names("gated-slots-"),
        Implementation.allCases)
    func operation(_ name: String, in implementation: Implementation) throws {
        let fixture = try Fixture(name)
        var reader = try ConfigurationReader(fixture.configuration, file: name)
        let scale = Float(try reader.double("scale"))
        let leaves = Dictionary(
            uniqueKeysWithValues: try Self.inputs.compactMap { key in
                try fixture.optional(key).map { (key, $0.requiringGradient()) }
            })
        let n = leaves["q"]!.shape[1]
        for cut in Set([0, 1, n / 2, n - 1, n]).sorted() {
            let results = attend(leaves, cut: cut, scale: scale, implementation)
            for (key, got) in results { try fixture.expectValues(got, fixture.tensor(key), "cut at \(cut): \(key)") }
            let probes = ["output": "probe", "final_keys": "keys_probe", "final_values": "values_probe"]
            var loss = Tensor.zeros([])
            for (key, got) in results { loss = loss + (got * (try fixture.tensor(probes[key]!))).sum() }
            try fixture.expectValues(loss.reshaped([1]), fixture.tensor("loss"), "loss")
            let all = gradients(of: loss)
            for (key, leaf) in leaves {
                try fixture.expectGradient(
                    #require(all[leaf]), fixture.tensor("gradients/" + key), "\(key), cut at \(cut)")
            }
        }
    }

    /// Reads the first `cut` tokens, then the others from the slots they have left.
    private func attend(
        _ x: [String: Tensor], cut: Int, scale: Float, _ implementation: Implementation
    ) -> [(key: String, got: Tensor)] {
        func part(_ from: Int, _ to: Int, _ state: GatedSlots?) -> (output: Tensor, state: GatedSlots) {
            let rows = Self.inputs.prefix(4).map { x[$0]!.sliced(1, from: from, to: to) }
            return gatedSlotAttention(
                rows[0], rows[1], rows[2], logForget: rows[3], state: state, scale: scale,
                implementation: implementation)
        }
        let start = x["state_keys"].map { GatedSlots(keys: $0, values: x["state_values"]!) }
        let first = part(0, cut, start)
        let second = part(cut, x["q"]!.shape[1], first.state)
        let output = concatenate([first.output, second.output], axis: 1)
        return [("output", output), ("final_keys", second.state.keys), ("final_values", second.state.values)]
    }

    @Test("All fixtures of gated slots are there") func counts() {
        #expect(Fixture.names("gated-slots-").count == 8)
    }
}
