import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import Linformers

/// Shared projections are one parameter under several keys, and a file must agree.
@Suite struct LinformerSharingTests {
    /// Two layers of two heads have one E = F for all, one for each layer, an E and an F for each layer, or for each
    /// head.
    @Test("Shared projections are one parameter", arguments: ParameterSharing.allCases, ProjectionMethod.allCases)
    func sharedProjectionsAreOneParameter(_ sharing: ParameterSharing, method: ProjectionMethod) {
        let expected = [ParameterSharing.none: 8, .headwise: 4, .kv: 2, .layerwise: 1][sharing]!
        let model = makeLinformerModel(LinformerVariant(sharing: sharing, method: method))
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
            let model = makeLinformerModel {
                $0.stack.isDecoder = true
                $0.stack.contextSize = contextSize
            }
            return Set(model.state.filter { $0.key.hasSuffix(".E.weight") }.map { ObjectIdentifier($0.parameter) })
                .count
        }
        #expect(count(nil) == 1 && count(24) == 1 && count(9) == 2)
    }

    /// A file whose keys of a shared matrix differ is none of such a model.
    @Test("Files with unequal shared matrices are refused") func unequalSharedMatricesAreRefused() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/weights.safetensors"
        try makeLinformerModel(LinformerVariant(sharing: .none)).save(to: path)
        let error = #expect(throws: InputError.self) { try makeLinformerModel().load(from: path) }
        let first = "linformer.seq.0.fn.heads.0.E.weight and linformer.seq.0.fn.heads.0.F.weight"
        #expect(error?.description.contains(first) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("shared parameters with unequal values") == true)
    }

    /// Random projections come from the key, as everything that is drawn: without them in the file nothing would be the
    /// same again.
    @Test("Random projections are drawn from the key and saved") func randomProjectionsAreDrawnOnceAndKept() {
        let configuration = makeLinformerConfiguration(LinformerVariant(sharing: .none, method: .noParameters))
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
