import BlockRecurrentTransformers
import NN
import Tensors
import Testing

/// Each test runs in a process of its own, as tests share the pool of memory.
@Suite("Memory") struct BlockRecurrentMemoryTests {
    /// The most floats a token that a training step on a segment holds at once, beyond what is there before.
    private static func peak(block: Int) -> Double {
        var configuration = BlockRecurrentConfiguration(tokens: 16, dimension: 16, depth: 2)
        (configuration.heads, configuration.headDimension) = (8, 2)
        (configuration.blockWidth, configuration.maximumLength, configuration.stateVectors) = (block, 4096, 16)
        let model = BlockRecurrentTransformer(configuration, key: RandomKey(seed: 1))
        let tokens = TokenTensor([Int32](repeating: 3, count: 4096), shape: [1, 4096])
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        _ = gradients(of: model.loss(tokens, tokens))
        return Double(MemoryPool.shared.statistics.peak - before) / Double(4 * 4096)
    }

    /// The weights of a layer are 8 heads by up to twice the block's width for each token: 8192 floats with blocks of 512,
    /// 32768 with blocks of 2048. Neither they nor a mask are held: what is held does not depend on the width, but for the
    /// tiles in work, 64 · 1024 scores a thread (some 64 floats a token of this segment).
    @Test("Training stores nothing by token and key") func nothingByTokenAndKeyIsStored() async {
        await #expect(processExitsWith: .success) {
            let (narrow, wide) = (
                BlockRecurrentMemoryTests.peak(block: 512), BlockRecurrentMemoryTests.peak(block: 2048)
            )
            require(narrow < 1500 && wide < 1500, "\(narrow) and \(wide) floats a token")
            require(wide < narrow + 200, "\(narrow) floats a token, \(wide) with wider blocks")
        }
    }

    /// The last block writes 2048 states of 64 columns, whose feed-forward layer alone would keep 682 floats of each, 5.6
    /// MB.
    @Test("The segment's last write of states keeps nothing for backward") func theLastWriteIsNotKept() async {
        await #expect(processExitsWith: .success) {
            var configuration = BlockRecurrentConfiguration(tokens: 16, dimension: 64, depth: 1)
            (configuration.heads, configuration.headDimension) = (2, 8)
            (configuration.blockWidth, configuration.maximumLength, configuration.stateVectors) = (64, 128, 2048)
            configuration.stateUpdate = .dual
            let model = BlockRecurrentTransformer(configuration, key: RandomKey(seed: 1))
            func held(_ n: Int) -> Int {
                let tokens = TokenTensor([Int32](repeating: 3, count: n), shape: [1, n])
                let before = MemoryPool.shared.statistics.current
                let loss = model.loss(tokens, tokens)
                defer { _ = loss.item }
                return MemoryPool.shared.statistics.current - before
            }
            let (one, two) = (held(64), held(128))
            require(two - one > 5_600_000 && one < 5_600_000, "\(one) bytes for one block, \(two) for two")
        }
    }

    @Test("A carry is as small as a block and holds on to nothing else") func carriesAreSmall() async {
        await #expect(processExitsWith: .success) {
            var configuration = BlockRecurrentConfiguration(tokens: 16, dimension: 16, depth: 2)
            (configuration.heads, configuration.headDimension) = (2, 8)
            (configuration.blockWidth, configuration.maximumLength, configuration.stateVectors) = (8, 4096, 4)
            let model = BlockRecurrentTransformer(configuration, key: RandomKey(seed: 1))
            let tokens = TokenTensor([Int32](repeating: 3, count: 4096), shape: [1, 4096])
            let before = MemoryPool.shared.statistics.current
            let carries = withoutGradients { model.logits(tokens, carries: [nil], mode: .inference).carries }
            let held = MemoryPool.shared.statistics.current - before
            // 2 layers of 8 keys and values of 8 columns, 4 states of 16; memory comes in pieces of some size.
            require(held < 64 * 1024, "\(held) bytes for \(carries.count) carries")
        }
    }

    /// 16 rows have 16 × 512 states of 64 columns, 2.1 MB, of which one has 131 kB.
    @Test("A row's carry holds on to nothing of the other rows") func carriesAreOfTheirRow() async {
        await #expect(processExitsWith: .success) {
            var configuration = BlockRecurrentConfiguration(tokens: 16, dimension: 64, depth: 1)
            (configuration.heads, configuration.headDimension, configuration.recurrentLayers) = (2, 8, [1])
            (configuration.blockWidth, configuration.maximumLength, configuration.stateVectors) = (8, 64, 512)
            let model = BlockRecurrentTransformer(configuration, key: RandomKey(seed: 1))
            let tokens = TokenTensor([Int32](repeating: 3, count: 16 * 8), shape: [16, 8])
            let before = MemoryPool.shared.statistics.current
            let carry = withoutGradients {
                model.logits(tokens, carries: [RecurrentMemory?](repeating: nil, count: 16), mode: .inference).carries[
                    0]
            }
            let held = MemoryPool.shared.statistics.current - before
            require(carry?.recurrentStates.first?.shape == [1, 512, 64], "no states")
            require(held < 256 * 1024, "\(held) bytes for one row")
        }
    }
}
