import Tensors
import Testing

@Suite struct ComparisonTests {
    private let a = Tensor([1, 2, 3, .nan, .infinity, -0.0])
    private let b = Tensor([2, 2, 2, .nan, .infinity, 0])

    @Test("Comparisons give 1 or 0")
    func comparisons() {
        expectEqual(a .== b, [0, 1, 0, 0, 1, 1])
        expectEqual(a .!= b, [1, 0, 1, 1, 0, 0])
        expectEqual(a .< b, [1, 0, 0, 0, 0, 0])
        expectEqual(a .<= b, [1, 1, 0, 0, 1, 1])
        expectEqual(a .> b, [0, 0, 1, 0, 0, 0])
        expectEqual(a .>= b, [0, 1, 1, 0, 1, 1])
    }

    @Test("A tensor is compared with a number")
    func comparisonsWithANumber() {
        expectEqual(a .== 2, [0, 1, 0, 0, 0, 0])
        expectEqual(a .!= 2, [1, 0, 1, 1, 1, 1])
        expectEqual(a .< 2, [1, 0, 0, 0, 0, 1])
        expectEqual(a .<= 2, [1, 1, 0, 0, 0, 1])
        expectEqual(a .> 2, [0, 0, 1, 0, 1, 0])
        expectEqual(a .>= 2, [0, 1, 1, 0, 1, 0])
    }

    @Test("Comparisons broadcast and carry no gradient")
    func comparisonsBroadcastAndCarryNoGradient() {
        let x = sample([3, 1], seed: 2).requiringGradient()
        let y = sample([1, 4], seed: 3)
        let less = x .< y
        #expect(!less.requiresGradient)
        expectClose(less, expected([3, 4]) { x.element($0) < y.element($0) ? 1 : 0 }, shape: [3, 4], tolerance: 0)
        expectClose(
            y.transposed() .> x.reshaped([3]),
            expected([4, 3]) { y.element([0, $0[0]]) > x.element([$0[1], 0]) ? 1 : 0 },
            shape: [4, 3], tolerance: 0)
    }

    @Test("Select takes elements by a mask")
    func selects() {
        expectEqual(select(Tensor([1, 0, 2, -1]), Tensor([1, 2, 3, 4]), Tensor([5, 6, 7, 8])), [1, 6, 3, 4])
        expectEqual(select(Tensor([1, 0]), 9, Tensor([.nan, 6])), [9, 6])
        expectEqual(select(Tensor([1, 0]), Tensor([5, .nan]), -.infinity), [5, -.infinity])
        let mask = Tensor([1, 0, 0, 1], shape: [4, 1])
        let (x, y) = (sample([4, 3], seed: 5), sample([3], seed: 6))
        expectClose(
            select(mask, x, y), expected([4, 3]) { mask.element($0) != 0 ? x.element($0) : y.element($0) },
            shape: [4, 3], tolerance: 0)
    }

    @Test("The gradients of select agree with central differences")
    func selectGradients() {
        let mask = (sample([2, 3, 4], seed: 7) .> 0)
        checkGradients([sample([2, 3, 4], seed: 8), sample([3, 1], seed: 9)]) { select(mask, $0[0], $0[1]) }
        checkGradients([sample([4], seed: 8), sample([2, 1, 1], seed: 9)]) { select(mask, $0[0], $0[1]) }
        checkGradients([sample([2, 3, 4], seed: 8)]) { select(mask.sliced(0, to: 1), $0[0], 2) }
    }

    @Test("NaN in the gradient of one side does not reach the other")
    func whatIsNotTakenGetsNoGradient() {
        let (a, b) = (Tensor([1, 2]).requiringGradient(), Tensor([3, 4]).requiringGradient())
        let first = gradients(of: select(Tensor([1, 0]), a, b), seed: Tensor([.nan, 5]))
        expectEqual(first[a]!, [.nan, 0])
        expectEqual(first[b]!, [0, 5])
        let second = gradients(of: select(Tensor([1, 0]), a, b), seed: Tensor([5, .nan]))
        expectEqual(second[a]!, [5, 0])
        expectEqual(second[b]!, [0, .nan])
    }
}
