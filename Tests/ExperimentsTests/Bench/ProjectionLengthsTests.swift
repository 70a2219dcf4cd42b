import AttentionZooExperiments
import Tensors
import Testing

/// In a process of its own: the memory of tensors is everybody's.
@Suite struct ProjectionLengthsTests {
    @Test("Every form is measured, and the quadratic one stops at the memory limit")
    func everyFormIsMeasuredAndTheQuadraticOneStopsAtTheLimit() async {
        await #expect(processExitsWith: .success) {
            // Two heads of 300² scores take 0.7 MB each time they are held, of 600² four times as much.
            let result = ProjectionLengths.run(
                lengths: [40, 300, 600], slots: [8, 16], channels: 16, heads: 2, limitMegabytes: 3)
            func row(_ tokens: Int, _ form: ProjectionLengths.Form) -> ProjectionLengths.Row {
                result.rows.first { $0.tokens == tokens && $0.form == form }!
            }
            require(result.rows.count == 12, "\(result.rows)")
            require(row(300, .quadratic).seconds != nil, "\(row(300, .quadratic))")
            require(row(300, .quadratic).peakMegabytes > 2 * 2 * 4 * 300 * 300 / 1_048_576, "\(row(300, .quadratic))")
            require(row(600, .quadratic).seconds == nil, "\(row(600, .quadratic))")
            require(row(600, .quadratic).peakMegabytes == 4 * row(300, .quadratic).peakMegabytes, "not n²")
            for form in [ProjectionLengths.Form.full, .projected(slots: 8), .projected(slots: 16)] {
                require(row(600, form).seconds! > 0, "\(form)")
                require(row(600, form).peakMegabytes < row(300, .quadratic).peakMegabytes, "\(row(600, form))")
            }
            let lines = result.table().split(separator: "\n")
            require(lines.count == 4 && lines[3].contains("not run"), "\(lines)")
        }
    }
}
