import Linformers
import NN
import Tensors
import Testing

/// In a process of its own: the memory of tensors is everybody's.
@Suite struct LinformerMemoryTests {
    /// The most floats held at once by a pass beyond what is there before, by tokens and channels.
    private static func peak(_ configuration: LinformerConfiguration, gradients wantsGradients: Bool) -> Double {
        let n = configuration.inputSize
        let net = Linformer(configuration, key: RandomKey(seed: 1))
        let x = Tensor.normal([1, n, configuration.channels], key: RandomKey(seed: 2)).requiringGradient()
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        if wantsGradients {
            _ = gradients(of: net(x).sum())
        } else {
            withoutGradients { _ = net(x) }
        }
        return Double(MemoryPool.shared.statistics.peak - before) / Double(4 * n * configuration.channels)
    }

    private static func configuration(_ sharing: ParameterSharing) -> LinformerConfiguration {
        var configuration = LinformerConfiguration(inputSize: 8192, channels: 32, slots: 4)
        (configuration.sharing, configuration.includesFeedForward) = (sharing, false)
        (configuration.dropout, configuration.feedForwardDropout) = (0, 0)
        return configuration
    }

    /// Queries, the heads' output, the sum and its norm take one n × m each; keys and values of full length would be two
    /// more at the time when queries and output are there.
    @Test("Keys and values of full length are never made where heads share E")
    func keysAndValuesAreNeverOfFullLengthWhereHeadsShareE() async {
        await #expect(processExitsWith: .success) {
            let shared = LinformerMemoryTests.peak(LinformerMemoryTests.configuration(.headwise), gradients: false)
            let unshared = LinformerMemoryTests.peak(LinformerMemoryTests.configuration(.none), gradients: false)
            require(shared < 3.3, "\(shared) n × m floats with a shared E")
            require(unshared > shared + 1, "\(unshared) with unshared, \(shared) with shared E")
        }
    }

    @Test("Checkpoints take less than half the memory") func checkpointsTakeLessMemory() async {
        await #expect(processExitsWith: .success) {
            func peak(_ level: CheckpointLevel) -> Double {
                var configuration = LinformerMemoryTests.configuration(.layerwise)
                (configuration.depth, configuration.includesFeedForward) = (6, true)
                (configuration.feedForwardDimension, configuration.checkpointLevel) = (64, level)
                return LinformerMemoryTests.peak(configuration, gradients: true)
            }
            let (all, layers, heads) = (peak(.none), peak(.layers), peak(.heads))
            require(layers < 0.5 * all, "C0 \(all), C1 \(layers) n × m floats")
            // Tiles of the threads, some tenths of n × m floats, are held together or one after another.
            require(abs(heads - layers) < 0.05 * layers, "C1 \(layers), C2 \(heads) n × m floats")
        }
    }
}
