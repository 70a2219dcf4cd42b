import Foundation
import ModelZoo

/// Turns the events of a training into what is written for those who watch it: a value that knows no terminal and no
/// clock; time is that of the training itself.
package struct ProgressPrinter {
    /// A form of output.
    package enum Style: Sendable, Hashable {
        /// A line that is written over and over, and below which the cursor stays; other events as lines above it. For
        /// terminals that know `\r` and the escape code that erases the rest of a line.
        case line(color: Bool)
        /// Plain lines, without control characters: every validation, and steps as seldom as can be read.
        case lines
        /// A line of JSON for every event.
        case json
        /// Nothing.
        case quiet
    }

    private let style: Style
    private var line = ProgressLine()
    private var isLineShown = false
    private var shown: Double?
    private var began: Double?
    /// The last step, if no line of its own has been written for it.
    private var unwritten: TrainingEvent?

    /// Creates a printer of a style.
    package init(_ style: Style) { self.style = style }

    /// Returns the output for an event, with all line ends; empty if there is nothing to print.
    /// - Parameter width: the columns of the terminal.
    package mutating func output(for event: TrainingEvent, width: Int = 80) -> String {
        switch style {
        case .line(let color): onTerminal(event, width, color)
        case .lines: plain(event)
        case .json: event.jsonLine + "\n"
        case .quiet: ""
        }
    }

    /// Returns the output when nothing more will come although the training has not ended, as before an error.
    package mutating func end() -> String {
        defer { isLineShown = false }
        return isLineShown ? "\n" : ""
    }

    // MARK: Lines

    private mutating func plain(_ event: TrainingEvent) -> String {
        guard case .step(let metrics, let total) = event else {
            let before = event.isEnd ? takeUnwritten() : ""
            return before + event.description.printable + "\n"
        }
        unwritten = event
        let start = began ?? metrics.seconds
        began = start
        let interval = Self.interval(after: metrics.seconds - start)
        guard shown.map({ metrics.seconds - $0 >= interval }) ?? true || metrics.isRemarkable(total) else { return "" }
        shown = metrics.seconds
        return takeUnwritten()
    }

    /// The least number of seconds between two lines of steps: more the longer it lasts, so that a training of a
    /// minute and one of a week both leave a log of a length that can be read.
    static func interval(after seconds: Double) -> Double { min(max(1, seconds / 10), 60) }

    private mutating func takeUnwritten() -> String {
        defer { unwritten = nil }
        return unwritten.map { $0.description + "\n" } ?? ""
    }

    // MARK: A terminal

    private static let leastInterval = 0.1
    private static let erase = "\r\u{1B}[K"

    private mutating func onTerminal(_ event: TrainingEvent, _ width: Int, _ color: Bool) -> String {
        var above = ""
        switch event {
        case .started(let summary): line.start(summary)
        case .step(let metrics, let total):
            line.add(metrics)
            unwritten = event
            if metrics.isRemarkable(total) {
                above = writeStep(color)
            } else if let shown, metrics.seconds - shown < Self.leastInterval {
                return ""
            }
            shown = metrics.seconds
        default: break
        }
        if event.isEnd { above = writeStep(color) }
        if case .step = event {} else { above += event.styled.rendered(withColor: color) + "\n" }
        let erased = isLineShown ? Self.erase : ""
        isLineShown = !event.isEnd
        // One column stays free: in the last one some terminals go on to the next line.
        return erased + above + (isLineShown ? line.text(width: max(width - 1, 1)).rendered(withColor: color) : "")
    }

    private mutating func writeStep(_ color: Bool) -> String {
        defer { unwritten = nil }
        return unwritten.map { $0.styled.rendered(withColor: color) + "\n" } ?? ""
    }
}

extension StepMetrics {
    /// Tells whether a line is printed for the step in any case.
    fileprivate func isRemarkable(_ total: Int?) -> Bool { step == total || validationSummary != nil }
}

extension TrainingEvent {
    fileprivate var isEnd: Bool {
        switch self {
        case .finished, .interrupted: true
        default: false
        }
    }

    /// For a terminal: what can be read there at leisure, with what matters set apart.
    fileprivate var styled: StyledText {
        switch self {
        case .step(let metrics, let total):
            var text = StyledText("step ", .dim)
            text.append("\(metrics.step)", .bold)
            text.append((total.map { "/\($0)" } ?? "") + "  " + TrainingEvent.time(metrics.seconds) + "  ", .dim)
            text.append(String(format: "%.4f bits/byte", metrics.bitsPerByte))
            if let validation = metrics.validationSummary { text.append("  " + validation, .accent) }
            if let answers = metrics.answersSummary { text.append("\n  " + answers, .dim) }
            return text
        case .sample(let step, let prompt, let sample):
            var text = StyledText("--- sample after step \(step)\n\(prompt.printable)|", .dim)
            text.append(sample.printable + "\n")
            text.append("---", .dim)
            return text
        case .warning: return StyledText(description.printable, .bold)
        case .saved, .started: return StyledText(description.printable, .dim)
        case .finished, .interrupted: return StyledText(description.printable)
        }
    }
}
