import Tensors
import Testing

@Suite struct AutogradTests {
    @Test("Operations on leaves require gradients, detached tensors do not")
    func leavesAndHistory() {
        let x = Tensor([1, 2])
        #expect(!x.requiresGradient && !(x * 2).requiresGradient)
        let leaf = x.requiringGradient()
        #expect(leaf.requiresGradient && (leaf * 2).requiresGradient && (x + leaf).requiresGradient)
        #expect(!leaf.detached().requiresGradient && leaf.detached().pointer == leaf.pointer)
        #expect(leaf.contiguous().requiresGradient && leaf.transposed(0, 0).contiguous().requiresGradient)
    }

    @Test("Only leaves that the loss depends on have gradients")
    func onlyWhatTheLossDependsOn() {
        let (a, b) = (Tensor([1, 2]).requiringGradient(), Tensor([3, 4]).requiringGradient())
        let parameter = Parameter(Tensor([5, 6]))
        let result = gradients(of: (a * parameter.value).sum())
        expectEqual(result[a]!, [5, 6])
        expectEqual(result[parameter]!, [1, 2])
        #expect(result[b] == nil && result[Tensor([1])] == nil)
        #expect(gradients(of: (a.detached() * b).sum())[a] == nil)
    }

    @Test("The loss itself may be a leaf")
    func theLossItselfMayBeALeaf() {
        let x = Tensor(3).requiringGradient()
        expectEqual(gradients(of: x)[x]!, [1], shape: [])
        expectEqual(gradients(of: x, seed: Tensor(5))[x]!, [5])
    }

    /// d/dx (x² + x³ + 2x) with x² reused.
    @Test("A value used along several paths collects all of their gradients")
    func severalPaths() {
        let x = Tensor([2, -1]).requiringGradient()
        let square = x * x
        let loss = (square + square * x + x * 2).sum()
        expectEqual(gradients(of: loss)[x]!, [2 * 2 + 3 * 4 + 2, -2 + 3 + 2])
    }

    @Test("Nothing is recorded without gradients, also nested and after an error")
    func withoutGradientsRecordsNothing() {
        struct Failure: Error {}
        let x = Tensor([1, 2]).requiringGradient()
        #expect(!withoutGradients { (x * x).sum() }.requiresGradient)
        #expect(!withoutGradients { withoutGradients { x * 2 } + x }.requiresGradient)
        #expect(throws: Failure.self) { try withoutGradients { throw Failure() } }
        #expect((x * x).requiresGradient)
    }

    // MARK: Accumulation

    @Test("Gradients accumulate over several losses")
    func accumulates() {
        let (w, b) = (Parameter(sample([3, 2])), Parameter(sample([3], seed: 2)))
        func loss(_ seed: UInt64) -> Tensor {
            linear(sample([4, 2], seed: seed), weight: w.value, bias: b.value, activation: .tanh).sum()
        }
        var total = Gradients()
        for seed in [5, 6, 7] as [UInt64] { total = gradients(of: loss(seed), addedTo: total) }
        for parameter in [w, b] {
            let parts = ([5, 6, 7] as [UInt64]).map { gradients(of: loss($0))[parameter]!.values.map(Double.init) }
            // Sums of three.
            expectClose(
                total[parameter]!, parts[0].indices.map { i in parts.reduce(0) { $0 + $1[i] } }, tolerance: 5e-7)
        }
    }

    @Test("A gradient that is held is not changed by a later pass")
    func heldGradientsKeepTheirValues() {
        let x = Tensor([1, 2]).requiringGradient()
        let first = gradients(of: (x * 3).sum())
        let held = first[x]!
        let second = gradients(of: (x * 4).sum(), addedTo: first)
        expectEqual(held, [3, 3])
        expectEqual(first[x]!, [3, 3])
        expectEqual(second[x]!, [7, 7])
    }

    /// The first gradient of a place is kept without a copy.
    @Test("Gradients that share memory are not overwritten")
    func sharedGradientsAreNotOverwritten() {
        let (a, b) = (Tensor([1, 2]).requiringGradient(), Tensor([3, 4]).requiringGradient())
        let seed = Tensor([10, 20])
        let result = gradients(of: (a + b) + a.reshaped([2, 1]).reshaped([2]), seed: seed)
        expectEqual(seed, [10, 20])
        expectEqual(result[a]!, [20, 40])
        expectEqual(result[b]!, [10, 20])
        let wide = gradients(of: a.expanded(to: [3, 2]).sum() + (a * b).sum())
        expectEqual(wide[a]!, [6, 7])
    }

    @Test("Gradients can be set and removed")
    func gradientsCanBeSet() {
        let x = Tensor([1, 2]).requiringGradient()
        let parameter = Parameter(Tensor([3]))
        var result = gradients(of: (x * x).sum())
        result[x] = result[x]! * 0.5
        result[parameter] = Tensor([7])
        expectEqual(result[x]!, [1, 2])
        expectEqual(result[parameter]!, [7])
        result[x] = nil
        #expect(result[x] == nil)
    }

    @Test("A new leaf has no gradient, whatever lived at its address before")
    func gradientsAreNotFoundByAddress() {
        let result = gradients(of: Tensor([1]).requiringGradient())
        for _ in 0..<1000 { #expect(result[Tensor([1]).requiringGradient()] == nil) }
    }

    // MARK: Operations of one's own

    /// (a + b, a · b) with a pullback that sees the gradient of each output, or nil where there is none.
    private func sumAndProduct(_ a: Tensor, _ b: Tensor) -> [Tensor] {
        let outputs = withoutGradients { [a + b, a * b] }
        return Tensor.record("sumAndProduct", outputs: outputs, inputs: [a, b]) { gradients, inputs in
            for (input, other) in zip(inputs, [b.detached(), a.detached()]) where input.isNeeded {
                if let gradient = gradients[0] { input.add(gradient) }
                if let gradient = gradients[1] { input.add(gradient * other) }
            }
        }
    }

    @Test("An operation may have several outputs")
    func severalOutputs() {
        let inputs = [sample([2, 3]), sample([2, 3], seed: 2)]
        checkGradients(inputs) { concatenate(self.sumAndProduct($0[0], $0[1])) }
        checkGradients(inputs) { self.sumAndProduct($0[0], $0[1])[0] }
        checkGradients(inputs) { self.sumAndProduct($0[0], $0[1])[1] }
        #expect(sumAndProduct(inputs[0], inputs[1]).allSatisfy { !$0.requiresGradient })
    }

    @Test("Pullbacks outside the loss do not run")
    func pullbacksOfWhatIsNotNeededDoNotRun() {
        let x = Tensor([1, 2]).requiringGradient()
        let unused = Tensor.record("unused", Tensor([1]), inputs: [x]) { _, _ in Issue.record("not part of the loss") }
        expectEqual(gradients(of: (x * 2).sum())[x]!, [2, 2])
        #expect(unused.requiresGradient)
    }

    // MARK: Large graphs

    /// In processes of their own, which an overflowing stack would end.
    @Test("A long chain is released without overflowing the stack")
    func longChainsAreDroppedOneByOne() async {
        await #expect(processExitsWith: .success) {
            var x = Tensor([1]).requiringGradient()
            for _ in 0..<100_000 { x = x + 1 }
        }
        await #expect(processExitsWith: .success) {
            // Each value is used twice, and the pullback of a product holds both.
            var x = Tensor([1]).requiringGradient()
            for _ in 0..<100_000 { x = x * x }
        }
    }

    @Test("Gradients pass through a long chain")
    func longChainsGoBack() async {
        await #expect(processExitsWith: .success) {
            let leaf = Tensor([1]).requiringGradient()
            var x = leaf
            for _ in 0..<100_000 { x = x + leaf * 2 }
            let gradient = gradients(of: x)[leaf]!.item
            require(gradient == 200_001, "\(gradient)")
        }
    }
}
