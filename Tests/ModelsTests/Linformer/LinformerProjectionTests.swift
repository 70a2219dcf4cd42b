import AttentionZooTestSupport
import NN
import Synchronization
import Tensors
import Testing

@testable import Linformers

@Suite("Projections and layers of Linformer") struct LinformerProjectionTests {
    /// K̄ = E K + b 1ᵀ as one product, and as the bias to which each token adds its column times its key.
    @Test(
        "The slots after the last token are the projection of all tokens", arguments: ProjectionMethod.allCases,
        [5, 3])
    func slotsOfAllTokens(_ method: ProjectionMethod, slots: Int) {
        let (n, d) = (11, 4)
        let whole = getEF(inputSize: n, slots: 5, method: method, headDimension: d, key: RandomKey(seed: 1))
        let projection = method == .convolution ? whole : whole.reduced(to: slots)
        for parameter in [projection.weight] + (projection.bias.map { [$0] } ?? []) {
            parameter.assign(.normal(parameter.shape, key: RandomKey(seed: 2)))
        }
        let x = Tensor.normal([2, n, 3, d], key: RandomKey(seed: 3))
        let entering = projection.entering(x)  // [b, n, h, d]
        var sums = projection.initialSlots(columns: d).unsqueezed(1) + .zeros([2, projection.slots, 3, d])
        for t in 0..<n {
            let column = projection.matrix(t..<t + 1).reshaped([1, projection.slots, 1, 1])
            sums = sums + column * entering.sliced(1, from: t, to: t + 1)
        }
        // Each slot is a sum of n tokens, for a convolution of d products each.
        expectClose(sums, projection(x), roundings: n * (d + 2), magnitude: Double(n), "\(method)")
    }

    @Test("Every attention of every layer drops by a key of its own", arguments: [false, true])
    func keysOfLayers(isDecoder: Bool) {
        let model = makeLinformerModel {
            $0.stack.depth = 3
            $0.stack.isDecoder = isDecoder
        }
        let keys = Mutex<[UInt64]>([])
        _ = model.linformer.run(.ones([1, 2, 12]), .training(RandomKey(seed: 4))) { _, x, mode in
            keys.withLock { $0.append(mode.key?.value ?? 0) }
            return x
        }
        let all = keys.withLock { $0 }
        #expect(all.count == (isDecoder ? 6 : 3))
        #expect(Set(all).count == all.count)
    }
}
