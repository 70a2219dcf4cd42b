import AttentionZooExperiments
import Tensors
import Testing

/// In a process of its own: the memory of tensors is everybody's.
@Suite struct AttentionLengthsTests {
    @Test("All forms agree, and the masked one stops at the memory limit")
    func formsAgreeAndTheMaskedOneStopsAtTheLimit() async {
        await #expect(processExitsWith: .success) {
            // 300² scores take 0.36 MB each time they are held, 600² four times as much.
            let result = AttentionLengths.run(lengths: [40, 300, 600], window: 16, columns: 8, limitMegabytes: 3)
            func row(_ tokens: Int, _ form: AttentionLengths.Form) -> AttentionLengths.Row {
                result.rows.first { $0.tokens == tokens && $0.form == form }!
            }
            require(result.rows.count == 9 && result.allAgree, "\(result.rows)")
            for form in [AttentionLengths.Form.window, .full] {
                require(result.rows.filter { $0.form == form }.allSatisfy { $0.trainingSeconds! > 0 }, "\(form)")
            }
            require(row(300, .masked).difference != nil, "the masked form at 300 tokens was not compared")
            let stopped = row(600, .masked)
            require(stopped.forwardSeconds == nil && stopped.difference == nil, "\(stopped)")
            require(stopped.peakMegabytes == 4 * row(300, .masked).peakMegabytes, "\(stopped)")
            // Mask, scores and weights.
            require(row(300, .masked).peakMegabytes > 3 * 4 * 300 * 300 / 1_048_576, "\(row(300, .masked))")
            let lines = result.table().split(separator: "\n")
            require(lines.count == 5, "\(lines)")
            require(
                lines[4].hasPrefix("600 ") && lines[4].hasSuffix(" MB") && lines[4].contains("not run: "), "\(lines)")
        }
    }
}
