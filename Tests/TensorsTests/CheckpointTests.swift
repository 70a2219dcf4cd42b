import Tensors
import Testing

@Suite struct CheckpointTests {
    /// A layer with parameters and dropout.
    private struct Layer: Sendable {
        let weight = Parameter(sample([5, 5], seed: 11))
        let gain = Parameter(sample([5], seed: 12))

        func callAsFunction(_ x: Tensor, _ key: RandomKey?) -> Tensor {
            let normalized = rmsNorm(x, weight: gain.value, epsilon: 0.01)
            return x + dropout(linear(normalized, weight: weight.value, activation: .silu), probability: 0.3, key: key)
        }
    }

    private let layers = [Layer(), Layer()]
    private let key = RandomKey(seed: 3)

    private func run(_ x: Tensor, _ layer: @Sendable (Int, Tensor) -> Tensor) -> (Tensor, Gradients) {
        let loss = (layer(1, layer(0, x)) * sample([4, 5], seed: 5)).sum()
        return (loss, gradients(of: loss))
    }

    /// The same operations on the same numbers.
    @Test("Checkpointing gives the same gradients to the bit")
    func givesTheSameGradients() {
        let x = sample([4, 5]).requiringGradient()
        let (layers, key) = (layers, key)
        let (loss, direct) = run(x) { layers[$0]($1, key.child($0)) }
        let (again, inner) = run(x) { i, x in checkpointed([x]) { layers[i]($0[0], key.child(i)) } }
        let (_, nested) = run(x) { i, x in
            checkpointed([x]) { outer in checkpointed([outer[0]]) { layers[i]($0[0], key.child(i)) } * 1 }
        }
        #expect(loss.item == again.item)
        for result in [inner, nested] {
            #expect(result[x]!.values == direct[x]!.values)
            for layer in layers {
                #expect(result[layer.weight]!.values == direct[layer.weight]!.values)
                #expect(result[layer.gain]!.values == direct[layer.gain]!.values)
            }
        }
    }

    @Test("Parameters inside get gradients even if the input needs none")
    func parametersAlone() {
        let x = sample([4, 5])
        let layers = layers
        let (_, direct) = run(x) { layers[$0]($1, nil) }
        let (_, result) = run(x) { i, x in checkpointed([x]) { layers[i]($0[0], nil) } }
        #expect(result[layers[0].weight]!.values == direct[layers[0].weight]!.values)
        #expect(result[layers[1].gain]!.values == direct[layers[1].gain]!.values)
    }

    @Test("A body may have several inputs, some repeated or unused")
    func severalInputs() {
        checkGradients([sample([2, 3]), sample([3], seed: 2), sample([2, 3], seed: 3)]) { inputs in
            checkpointed(inputs) { tanh($0[0] * $0[1]) + $0[0] * $0[2] }
        }
        // One tensor twice, and one that is not used.
        checkGradients([sample([2, 3])]) { checkpointed([$0[0], $0[0]]) { $0[0] * exp($0[1]) } }
        let (x, unused) = (Tensor([1]).requiringGradient(), Tensor([2]).requiringGradient())
        let result = gradients(of: checkpointed([x, unused]) { $0[0] * 3 })
        #expect(result[x]!.item == 3 && result[unused] == nil)
        expectEqual(gradients(of: checkpointed([x]) { $0[0] })[x]!, [1])
    }

    @Test("A body may use leaves from outside, as parameters are")
    func leavesFromOutside() {
        let (x, leaf) = (Tensor([2]).requiringGradient(), Tensor([5]).requiringGradient())
        let result = gradients(of: checkpointed([x]) { $0[0] * leaf } + leaf)
        expectEqual(result[leaf]!, [3])
        expectEqual(result[x]!, [5])
    }

    @Test("A body that uses other tensors from outside is an error")
    func otherTensorsFromOutsideAreAnError() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let x = Tensor([2]).requiringGradient()
            let outside = exp(x)
            _ = gradients(of: checkpointed([x]) { $0[0] * outside })
        }
        #expect(result?.message.contains("checkpointed: the body uses an output of exp from outside") == true)
    }

    @Test("The second forward pass records even without gradients around it")
    func recordingIsOnInTheSecondForward() {
        let x = Tensor([2]).requiringGradient()
        let loss = checkpointed([x]) { $0[0] * $0[0] }
        expectEqual(withoutGradients { gradients(of: loss) }[x]!, [4])
        #expect(!withoutGradients { checkpointed([x]) { $0[0] * 2 } }.requiresGradient)
    }

    @Test("Nothing that the body saves is kept between forward and backward")
    func keepsLessMemory() async {
        await #expect(processExitsWith: .success) {
            func held(_ layer: (Tensor) -> Tensor) -> Int {
                let x = Tensor.ones([100_000]).requiringGradient()
                let before = MemoryPool.shared.statistics.current
                let y = layer(x)
                let held = MemoryPool.shared.statistics.current - before
                require(gradients(of: y.sum())[x] != nil, "no gradient")
                return held
            }
            @Sendable func body(_ x: Tensor) -> Tensor { (0..<10).reduce(x) { y, _ in tanh(y) } }
            let (direct, checked) = (held(body), held { checkpointed([$0]) { body($0[0]) } })
            require(direct > 9 * 400_000 && checked < 2 * 400_000, "\(direct) bytes direct, \(checked) checkpointed")
        }
    }
}
