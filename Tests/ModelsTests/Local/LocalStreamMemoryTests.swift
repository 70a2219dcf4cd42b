import Tensors
import Testing

@testable import LocalTransformers

/// The pool is everybody's: tests that read its statistics have a process of their own.
@Suite struct LocalStreamMemoryTests {
    /// 24 sub-layers of 4 streams whose outputs are their inputs: 25 places of 4 · 256 · 64 floats if all were kept. Kept
    /// are every fifth after the first nine, each input (which is the output: one of 256 · 64), and the weights.
    @Test("Few streams are kept for backward") func fewStreamsAreKeptForBackward() async {
        await #expect(processExitsWith: .success) {
            Threads.count = 1
            let (rows, d) = (256, 64)
            let chain = Chain(24, streams: 4, dimension: d)
            let x = Tensor.normal([rows, d], key: RandomKey(seed: 1)).requiringGradient()
            let seed = Tensor.ones([rows, d])
            let pool = MemoryPool.shared
            let start = pool.statistics.current
            var streams = ResidualStreams(x, streams: 4)
            for connection in chain.connections {
                let (input, rest) = streams.read(connection)
                streams = rest.adding(input)
            }
            let y = streams.reduced()
            streams = ResidualStreams(x, streams: 4)
            let place = 4 * rows * 4 * d
            let kept = pool.statistics.current - start
            let inputs = 25 * rows * d * 4
            // a, w, 1/|R| and the mixing: 4 · 6 · 2 + 4 + at most 9 · 4 floats a row, and the connection's tables.
            let weights = 24 * (rows * (52 + 36) + 6 * d + 48) * 4
            require(kept <= 4 * place + inputs + weights, "\(kept) bytes are kept, \(place) is one place")
            // All told less than half of the places.
            require(kept <= 25 * place / 2 + inputs, "\(kept) bytes are kept, \(place) is one place")
            pool.resetPeak()
            let all = gradients(of: y, seed: seed)
            // ∂R once, written over; the inputs' gradients; panels and partial sums.
            let extra = pool.statistics.peak - start - kept
            require(extra <= 3 * place, "\(extra) more bytes in backward, \(place) is one place")
            withExtendedLifetime((all, chain)) {}
        }
    }

    /// The same bits for any number of threads.
    @Test("Any number of threads gives the same bits") func threadsDoNotMatter() async {
        await #expect(processExitsWith: .success) {
            let chain = Chain(6, streams: 4, dimension: 96)
            let x = Tensor.normal([1000, 96], key: RandomKey(seed: 1)).requiringGradient()
            func bits(_ threads: Int) -> [[Float]] {
                Threads.count = threads
                var streams = ResidualStreams(x, streams: 4)
                for connection in chain.connections {
                    let (input, rest) = streams.read(connection)
                    streams = rest.adding(tanh(input))
                }
                let y = streams.reduced()
                let all = gradients(of: y, seed: x.detached())
                let parameters = chain.connections.flatMap { $0.inputs }
                return ([x] + parameters).map { all[$0]!.values } + [y.values]
            }
            let one = bits(1)
            for threads in [2, 3] { require(bits(threads) == one, "other bits with \(threads) threads") }
        }
    }
}
