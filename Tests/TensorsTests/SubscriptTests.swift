import Tensors
import Testing

@Suite struct SubscriptTests {
    private let x = sample([3, 4, 5])

    private func expectPart(
        _ part: Tensor, _ shape: [Int], _ place: ([Int]) -> [Int], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        expectClose(
            part, expected(shape) { x.element(place($0)) }, shape: shape, tolerance: 0, sourceLocation: sourceLocation)
    }

    @Test("Integers drop their axis") func integers() {
        expectPart(x[1], [4, 5]) { [1, $0[0], $0[1]] }
        expectPart(x[1, 2], [5]) { [1, 2, $0[0]] }
        expectPart(x[1, 2, 3], []) { _ in [1, 2, 3] }
        expectPart(x[-1, 0, -2], []) { _ in [2, 0, 3] }
        expectPart(x[.last], [4, 5]) { [2, $0[0], $0[1]] }
        expectPart(x[0..., .last], [3, 5]) { [$0[0], 3, $0[1]] }
        let variable = 2
        expectPart(x[variable, variable + 1], [5]) { [2, 3, $0[0]] }
    }

    @Test("Ranges keep their axis") func ranges() {
        expectPart(x[0..., 2..<4], [3, 2, 5]) { [$0[0], 2 + $0[1], $0[2]] }
        expectPart(x[1...2, ..<3, 3...], [2, 3, 2]) { [1 + $0[0], $0[1], 3 + $0[2]] }
        expectPart(x[...1], [2, 4, 5]) { $0 }
        expectPart(x[.all, ..<(-1)], [3, 3, 5]) { $0 }
        expectPart(x[(-2)...], [2, 4, 5]) { [1 + $0[0], $0[1], $0[2]] }
        expectPart(x[...(-2)], [2, 4, 5]) { $0 }
        expectPart(x[...(-1)], [3, 4, 5]) { $0 }
        #expect(x[1..<1].shape == [0, 4, 5])
        #expect(x[3...].shape == [0, 4, 5])
        #expect(x[0, 4..<4, 1].shape == [0])
    }

    @Test("Three dots stand for the axes between") func dots() {
        expectPart(x[...], [3, 4, 5]) { $0 }
        expectPart(x[..., 1], [3, 4]) { [$0[0], $0[1], 1] }
        expectPart(x[2, ..., 1], [4]) { [2, $0[0], 1] }
        expectPart(x[0, ...], [4, 5]) { [0, $0[0], $0[1]] }
        expectPart(x[1, 2, .ellipsis, 3], []) { _ in [1, 2, 3] }
        expectPart(x[..., 1...2, 0], [3, 2]) { [$0[0], 1 + $0[1], 0] }
    }

    @Test("New axes and steps") func stepsAndNewAxes() {
        expectPart(x[.newAxis, 1, .newAxis], [1, 1, 4, 5]) { [1, $0[2], $0[3]] }
        expectPart(x[..., .newAxis], [3, 4, 5, 1]) { [$0[0], $0[1], $0[2]] }
        expectPart(x[.strided(by: 2), 0, .strided(by: 3)], [2, 2]) { [2 * $0[0], 0, 3 * $0[1]] }
        expectPart(x[.strided(by: -1), 0, .strided(by: -2)], [3, 3]) { [2 - $0[0], 0, 4 - 2 * $0[1]] }
    }

    @Test("A part of a part, and of another layout") func parts() {
        expectPart(x[1...][1, 1...][0..., 2], [3]) { [2, 1 + $0[0], 2] }
        expectPart(x.transposed(0, 2)[4, 1..., 2], [3]) { [2, 1 + $0[0], 4] }
    }

    @Test("Gradients agree with central differences") func gradients() {
        let x = sample([2, 3, 4])
        checkGradients([x]) { $0[0][1] }
        checkGradients([x]) { $0[0][0..., 1, .strided(by: -2)] }
        checkGradients([x]) { $0[0][.newAxis, 1, .ellipsis, 2] }
        checkGradients([x]) { $0[0][0..., 1..<3, ..<2] * $0[0][1, 2, 3] }
        let leaf = x.requiringGradient()
        #expect(Tensors.gradients(of: (leaf[1..<1] * 2).sum())[leaf]?.values == [Float](repeating: 0, count: 24))
    }

    @Test(
        "Places that are not there stop with the shape",
        arguments: [
            (0, "subscript: index 3 of axis 0 of shape [3, 4]"), (1, "subscript: index -5 of axis 1 of shape [3, 4]"),
            (2, "subscript: 2..<5 of axis 0 of shape [3, 4]"), (3, "subscript: 3 indices of a tensor of shape [3, 4]"),
            (4, "subscript: step 0 of axis 0 of shape [3, 4]"),
            (5, "subscript: 0 indices and 2 ellipses of a tensor of shape [3, 4]"),
        ])
    func mistakes(_ number: Int, _ message: String) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [number] in
            let x = Tensor.zeros([3, 4])
            switch number {
            case 0: _ = x[3]
            case 1: _ = x[0, -5]
            case 2: _ = x[2..<5]
            case 3: _ = x[0, 0, 0]
            case 4: _ = x[.strided(by: 0)]
            default: _ = x[..., .ellipsis]
            }
        }
        #expect(result?.message.contains(message) == true, "\(result?.message ?? "")")
    }
}
