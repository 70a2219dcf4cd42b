import Tensors
import Testing

/// The public check of gradients: it must find what is wrong.
@Suite struct GradientCheckingTests {
    private let x = sample([2, 3]), y = sample([3], seed: 2)

    /// x ⊙ y², with the gradient of y times a factor at one element.
    private func flawed(_ x: Tensor, _ y: Tensor, factor: Float, at element: Int) -> Tensor {
        let (a, b) = (x.detached(), y.detached())
        return .record("flawed", a * b * b, inputs: [x, y]) { dy, slots in
            slots[0].add(dy * b * b)
            var exact = (dy * a * b * 2).sum(axes: [0]).values
            exact[element] *= factor
            slots[1].add(Tensor(exact))
        }
    }

    @Test("Right gradients have no mismatch") func right() {
        #expect(checkGradients(of: { flawed($0[0], $0[1], factor: 1, at: 0) }, at: [x, y]) == [])
        #expect(checkGradients(of: { tanh($0[0]) * exp($0[1]) }, at: [x, y]) == [])
    }

    @Test("A wrong element is named, with what differences say") func wrong() throws {
        let found = checkGradients(of: { flawed($0[0], $0[1], factor: 1.01, at: 2) }, at: [x, y])
        let mismatch = try #require(found.first)
        #expect(found.count == 1 && mismatch.input == 1 && mismatch.index == [2])
        #expect(Swift.abs(Double(mismatch.gradient) / mismatch.difference - 1.01) < 1e-4)
        #expect("\(mismatch)".hasPrefix("gradient of input 1 at [2]: "))
    }

    @Test("A gradient that is missing, or not a number, is a mismatch") func missing() {
        let cut = checkGradients(of: { $0[0] * $0[1].detached() }, at: [x, y])
        #expect(cut.map(\.input) == [1] && cut.map(\.gradient) == [0])
        #expect(checkGradients(of: { $0[0].detached() }, at: [x]).map(\.input) == [0])
        let broken = checkGradients(of: { flawed($0[0], $0[1], factor: .nan, at: 1) }, at: [x, y])
        #expect(broken.map(\.index) == [[1]])
    }

    @Test("An input without influence has no gradient, as it should be") func noInfluence() {
        #expect(checkGradients(of: { $0[0] * 2 }, at: [x, y]) == [])
    }

    @Test("One pass writes the gradients of several inputs") func severalSlots() {
        @Sendable func product(_ a: Tensor, _ b: Tensor) -> Tensor {
            let (x, y) = (a.contiguous().detached(), b.contiguous().detached())
            return .record("product", x * y, inputs: [a, b]) { gradient, slots in
                let dy = gradient.contiguous()
                accumulate(slots) { destinations in
                    for (destination, other) in zip(destinations, [y, x]) {
                        guard let destination else { continue }
                        for i in 0..<dy.count {
                            let own = destination.beta == 0 ? 0 : destination.pointer[i]
                            destination.pointer[i] = own + dy.pointer[i] * other.pointer[i]
                        }
                    }
                }
            }
        }
        let z = sample([2, 3], seed: 3)
        #expect(checkGradients(of: { product($0[0], $0[1]) }, at: [x, z]) == [])
        #expect(checkGradients(of: { product($0[0], $0[0]) }, at: [x]) == [])
        #expect(checkGradients(of: { product($0[0], $0[0]) + product($0[0], $0[1]) * $0[0] }, at: [x, z]) == [])
        let leaf = z.requiringGradient()
        expectClose(
            gradients(of: product(x, leaf).sum())[leaf]!, x.values.map(Double.init), shape: [2, 3], tolerance: 0)
    }
}
