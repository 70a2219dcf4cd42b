import AttentionZooTestSupport
import Foundation
import Linformers
import Tensors
import Testing

/// Token by token, attention with bounded memory is what it is over the whole sequence.
@Suite struct LinformerBoundedMemoryDecodingTests {
    typealias Case = BoundedMemoryCase

    private func memory(_ test: Case, _ x: [Tensor]) -> BoundedMemory {
        let shape = [test.h, test.k, test.d]
        return BoundedMemory(keys: x[3].expanded(to: shape), values: x[4].expanded(to: shape))
    }

    private func append(_ memory: inout BoundedMemory, _ x: [Tensor], _ tokens: Range<Int>) -> Tensor {
        let part = x[..<3].map { $0.at(0, 0).sliced(0, from: tokens.lowerBound, to: tokens.upperBound) }
        return memory.append(
            part[0], part[1], part[2], position: tokens.lowerBound, e: x[5], f: x.count > 6 ? x[6] : nil,
            scale: Case.scale)
    }

    @Test(
        "Two calls with any cut between them give the forward pass",
        arguments: [
            Case(n: 23, more: 4), Case(n: 9, h: 3, d: 2, perHead: true, isOne: true),
            Case(n: 70, h: 1, d: 17, k: 33, isOne: true),
        ]) func everyCutEqualsForward(_ test: Case)
    {
        let x = test.inputs()
        let expected = test.attend(x).at(0, 0)
        for cut in 0...test.n {
            var memory = memory(test, x)
            let parts = [0..<cut, cut..<test.n].map { append(&memory, x, $0) }
            expectClose(concatenate(parts), expected, roundings: test.lengths.path, "cut at \(cut)")
        }
    }

    @Test(
        "Single tokens give the forward pass in constant memory",
        arguments: [Case(n: 130, more: 1), Case(n: 80, h: 3, perHead: true), Case(n: 70, h: 16, d: 64, k: 128)])
    func tokenByTokenEqualsForward(_ test: Case) {
        let x = test.inputs()
        var memory = memory(test, x)
        let bytes = memory.bytes
        let steps = (0..<test.n).map { append(&memory, x, $0..<$0 + 1) }
        expectClose(
            concatenate(steps), test.attend(x).at(0, 0), roundings: test.lengths.path, "single tokens")
        #expect(memory.bytes <= max(bytes, 2 * test.h * test.k * test.d * 4))
    }

    /// A copy is a branch: what one appends the other does not see.
    @Test("A copied memory is a branch", arguments: [1, 5]) func aCopyIsABranch(_ count: Int) {
        let test = Case(n: 12)
        let x = test.inputs()
        var memory = memory(test, x)
        _ = append(&memory, x, 0..<6)
        var branch = memory
        let other = x[..<3].map { $0 * 2 } + x[3...]
        let strange = append(&branch, Array(other), 6..<6 + count)
        let own = append(&memory, x, 6..<6 + count)
        expectClose(
            own, test.attend(x).at(0, 0).sliced(0, from: 6, to: 6 + count), roundings: test.lengths.path, "own")
        #expect(own.values != strange.values)
        // What it started from is left alone too.
        #expect(x[3].values == test.inputs()[3].values)
    }

    @Test("A position without a column stops with a message") func aPositionWithoutAColumnStops() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let slots = Tensor.zeros([2, 5, 3])
            var memory = BoundedMemory(keys: slots, values: slots)
            let x = Tensor.zeros([2, 2, 3])
            _ = memory.append(x, x, x, position: 7, e: .zeros([5, 8]), scale: 1)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("BoundedMemory.append: columns 7 ..< 9 of e [5, 8]"))
    }
}
