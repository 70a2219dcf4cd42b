import Foundation
import NN
import Tensors
import Testing

@testable import LocalTransformers

@Suite struct HyperConnectionTests {
    @Test func initialValues() {
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
    @Test func theFirstStreamIsDrawn() {
        let drawn = (0..<20).map { (seed: UInt64) in
            let alpha = HyperConnection(streams: 3, dimension: 1, key: RandomKey(seed: seed)).staticAlpha.value
            return alpha.sliced(1, to: 1).values.firstIndex(of: 1)
        }
        #expect(Set(drawn) == [0, 1, 2])
    }

    @Test func stateDictRoundTrips() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("hyper-\(UUID()).safetensors").path
        defer { try? FileManager.default.removeItem(atPath: path) }
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
}
