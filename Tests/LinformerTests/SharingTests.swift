import FixtureSupport
import Foundation
import NN
import Tensors
import Testing

@testable import Linformers

/// Shared projections are one parameter under several keys, and what is saved is what is loaded.
@Suite struct SharingTests {
    /// Of two layers of two heads: E and F of all, of a layer (E = F), of a layer, of a head.
    @Test("Shared projections are one parameter", arguments: ParameterSharing.allCases, ProjectionMethod.allCases)
    func sharedProjectionsAreOneParameter(_ sharing: ParameterSharing, method: ProjectionMethod) {
        let expected = [ParameterSharing.none: 8, .headwise: 4, .kv: 2, .layerwise: 1][sharing]!
        let model = makeModel(Variant(sharing: sharing, method: method))
        let suffix = method == .noParameters ? "" : ".weight"
        let matrices = model.state.filter { $0.key.hasSuffix(".E" + suffix) || $0.key.hasSuffix(".F" + suffix) }
        #expect(matrices.count == 8)
        #expect(Set(matrices.map { ObjectIdentifier($0.parameter) }).count == expected)
        let trained = model.trainable.filter { $0.key.contains(".E.weight") || $0.key.contains(".F.weight") }
        #expect(trained.count == (method == .noParameters ? 0 : expected))
        let own = method == .noParameters ? Parameter.Kind.frozen : .trained
        #expect(matrices.allSatisfy { $0.parameter.kind == own })
    }

    /// A decoder shares one matrix with its attention to the embeddings where both are as long, else each kind has one.
    @Test("Decoders of embeddings of another length have a second matrix")
    func decodersOfAnotherLengthHaveASecondMatrix() {
        func count(_ contextSize: Int?) -> Int {
            let model = makeModel {
                $0.stack.isDecoder = true
                $0.stack.contextSize = contextSize
            }
            return Set(model.state.filter { $0.key.hasSuffix(".E.weight") }.map { ObjectIdentifier($0.parameter) })
                .count
        }
        #expect(count(nil) == 1 && count(24) == 1 && count(9) == 2)
    }

    @Test("What is saved is loaded to the bit", arguments: Variant.some)
    func savedIsLoadedToTheBit(_ variant: Variant) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("linformer-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("weights.safetensors").path
        let model = makeModel(variant)
        try model.save(to: path)
        let other = LinformerLM(model.configuration, key: RandomKey(seed: 99))
        let tokens = randomTokens([2, 24])
        #expect(other(tokens).values != model(tokens).values)
        try other.load(from: path)
        #expect(other(tokens).values == model(tokens).values)
        for (a, b) in zip(model.state, other.state) {
            #expect(a.key == b.key && a.parameter.value.values == b.parameter.value.values, "\(a.key)")
        }
    }

    /// A file whose keys of a shared matrix differ is none of such a model.
    @Test("Files with unequal shared matrices are refused") func unequalSharedMatricesAreRefused() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("linformer-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try makeModel(Variant(sharing: .none)).save(to: path)
        let error = #expect(throws: InputError.self) { try makeModel().load(from: path) }
        let first = "linformer.seq.0.fn.heads.0.E.weight and linformer.seq.0.fn.heads.0.F.weight"
        #expect(error?.description.contains(first) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("shared parameters with unequal values") == true)
    }

    /// Random projections come from the key, as everything that is drawn: without them in the file nothing would be the
    /// same again.
    @Test("Random projections are drawn from the key and saved") func randomProjectionsAreDrawnOnceAndKept() {
        let configuration = makeConfiguration(Variant(sharing: .none, method: .noParameters))
        let matrices = { (seed: UInt64) in
            LinformerLM(configuration, key: RandomKey(seed: seed)).state.filter { $0.key.hasSuffix(".E") }
                .map { $0.parameter.value.values }
        }
        #expect(matrices(1) == matrices(1))
        #expect(matrices(1) != matrices(2))
        #expect(Set(matrices(1)).count == 4)
        // A standard deviation of 1 / k: of 4 · 24 · 6 numbers it is known to some 3 %.
        let all = matrices(1).flatMap { $0 }
        let deviation = (all.reduce(0) { $0 + $1 * $1 } / Float(all.count)).squareRoot()
        #expect(abs(deviation * 6 - 1) < 0.15)
    }
}
