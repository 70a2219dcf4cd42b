import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

@Suite struct LocalHyperConnectionTests {
    @Test("Initial values read one stream and keep all of them") func initialValues() {
        let connection = HyperConnection(streams: 3, dimension: 2, firstStream: 4, key: RandomKey(seed: 1))
        #expect(connection.staticAlpha.value.values == [0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1])
        #expect(connection.staticBeta.value.values == [1, 1, 1])
        #expect(connection.dynamicAlphaScale.value.values == [0.01])
        #expect(connection.dynamicBetaScale.value.values == [0.01])
        for zeros in [connection.dynamicAlpha, connection.dynamicBeta, connection.gamma] {
            #expect(zeros.value.values.allSatisfy { $0 == 0 })
        }
    }

    /// The first stream is drawn: with 20 keys, each of 3 streams comes up (all but certain: 3 · (2/3)²⁰ = 1e-3, and the
    /// keys are fixed).
    @Test("The first stream is drawn") func theFirstStreamIsDrawn() {
        let drawn = (0..<20).map { (seed: UInt64) in
            let alpha = HyperConnection(streams: 3, dimension: 1, key: RandomKey(seed: seed)).staticAlpha.value
            return alpha.sliced(1, to: 1).values.firstIndex(of: 1)
        }
        #expect(Set(drawn) == [0, 1, 2])
    }

    @Test("A state dict can be saved and loaded") func stateDictRoundTrips() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/weights.safetensors"
        let saved = HyperConnection(streams: 2, dimension: 3, key: RandomKey(seed: 1))
        for (index, parameter) in saved.state.map(\.parameter).enumerated() {
            parameter.assign(.uniform(parameter.shape, key: RandomKey(seed: UInt64(index))))
        }
        try saved.save(to: path)
        let file = try SafetensorsFile(path: path)
        let shapes = [
            "static_alpha": [2, 3], "dynamic_alpha_fn": [3, 3], "dynamic_alpha_scale": [], "static_beta": [2],
            "dynamic_beta_fn": [3], "dynamic_beta_scale": [], "norm.gamma": [3],
        ]
        #expect(file.entries.mapValues(\.shape) == shapes)
        let loaded = HyperConnection(streams: 2, dimension: 3, key: RandomKey(seed: 2))
        try loaded.load(from: path)
        for (a, b) in zip(saved.state, loaded.state) { #expect(a.parameter.value.values == b.parameter.value.values) }
    }

    /// hyper-connections 0.4.11 itself (Scripts/fixtures/local.py): sub-layers that are linear, in 1 … 4 streams.
    @Test(
        "Both forms of the streams agree with the peer", arguments: [(1, 2), (2, 1), (3, 2), (4, 3)],
        Implementation.allCases)
    func equalsThePeer(_ case: (streams: Int, count: Int), _ implementation: Implementation) throws {
        let (streams, count) = `case`
        let name = "local-streams-\(streams)-connections-\(count)"
        let fixture = try Fixture(name)
        let file = fixture.file
        let x = try file.tensor("x").requiringGradient()
        let sublayers = (0..<count).map { index in
            PeerSubLayer(streams: streams, dimension: x.shape.last!, key: RandomKey(seed: UInt64(index)))
        }
        var state = StateCollector()
        for (index, layer) in sublayers.enumerated() { state.add("\(index)", layer) }
        let weights = file.names.filter { $0.hasPrefix("weights/") }
        #expect(Set(weights) == Set(state.entries.map { "weights/" + $0.key }))
        for (key, parameter) in state.entries { parameter.assign(try file.tensor("weights/" + key)) }
        var place = ResidualStreams(x, streams: streams, implementation: implementation)
        for layer in sublayers {
            let (input, rest) = place.read(layer.connection)
            place = rest.adding(layer.branch(input))
        }
        let output = place.reduced()
        try fixture.expectValues(output, file.tensor("output"), "output")
        let all = gradients(of: output, seed: try file.tensor("probe"))
        try fixture.expectGradient(try #require(all[x]), file.tensor("gradients/x"), "x")
        for (key, parameter) in state.entries {
            try fixture.expectGradient(try #require(all[parameter]), file.tensor("gradients/" + key), key)
        }
    }
}

private struct PeerSubLayer: Module {
    let connection: HyperConnection
    let branch: Linear

    init(streams: Int, dimension: Int, key: RandomKey) {
        connection = HyperConnection(streams: streams, dimension: dimension, key: key)
        branch = Linear(dimension, dimension, bias: false, key: key)
    }

    func collect(into state: inout StateCollector) {
        connection.collect(into: &state)
        state.add("branch", branch)
    }
}
