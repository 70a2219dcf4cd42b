import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// The memory of gated slots, which generation keeps.
@Suite struct LinformerGatedSlotMemoryTests {
    /// Slots of 200 × 40 columns are shared by threads.
    static let cases = [
        GatedSlotCase(n: 70, dv: 4), GatedSlotCase(n: 40, h: 3, d: 17, dv: 5, m: 18, forgetting: .mixed),
        GatedSlotCase(n: 20, h: 1, d: 1, dv: 1, m: 1, forgetting: .fast),
        GatedSlotCase(n: 9, h: 4, d: 40, dv: 40, m: 200, forgetting: .clearing),
    ]

    private func rows(_ x: [Tensor], _ range: Range<Int>) -> [Tensor] {
        x.map { $0.sliced(1, from: range.lowerBound, to: range.upperBound).squeezed(0) }
    }

    private func memory(_ test: GatedSlotCase) -> GatedSlotMemory {
        GatedSlotMemory(heads: test.h, slots: test.m, test.d, test.dv)
    }

    private func append(_ memory: inout GatedSlotMemory, _ x: [Tensor]) -> Tensor {
        memory.append(x[0], x[1], x[2], logForget: x[3], scale: GatedSlotCase.scale)
    }

    @Test("Tokens one by one, and in parts of any length, are the sequence's", arguments: cases, [[1], [3, 1, 1, 33]])
    func partsEqualTheSequence(_ test: GatedSlotCase, _ parts: [Int]) {
        let x = test.inputs()
        let whole = test.attend(x).output.squeezed(0)
        var (memory, position, turn) = (memory(test), 0, 0)
        while position < test.n {
            let end = min(test.n, position + parts[turn % parts.count])
            let y = append(&memory, rows(x, position..<end))
            expectClose(
                y, whole.sliced(0, from: position, to: end), roundings: test.lengths.path,
                magnitude: largest(whole.values), "tokens \(position)..<\(end)")
            (position, turn) = (end, turn + 1)
        }
        #expect(memory.bytes == test.h * test.m * (test.d + test.dv) * 4)
    }

    @Test("A copy of the memory is a branch of the text")
    func copiesAreBranches() {
        let test = Self.cases[0]
        let x = test.inputs()
        var one = memory(test)
        _ = append(&one, rows(x, 0..<5))
        var other = one
        let first = append(&one, rows(x, 5..<6)).values
        #expect(append(&other, rows(x, 5..<6)).values == first)
        #expect(append(&other, rows(x, 5..<6)).values != first)
    }

    @Test("Rows that do not fit stop with a message") func rowsThatDoNotFit() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var memory = GatedSlotMemory(heads: 2, slots: 4, 3, 3)
            let x = Tensor.zeros([1, 2, 3])
            _ = memory.append(x, x, x, logForget: .zeros([1, 2, 5]), scale: 1)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("GatedSlotMemory.append: q [1, 2, 3]") && message.contains("for slots [2, 4, 3]"))
    }
}
