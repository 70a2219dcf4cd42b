import Foundation
import ModelZoo

/// Shows on standard error how far long work on a text has come, and what is odd about a text: in a line that is written over
/// on a terminal, elsewhere in a line every ten seconds.
final class ReadingDisplay: Sendable {
    static let shared = ReadingDisplay()

    private struct State {
        var work = ""
        /// The times when the work began, and was shown last.
        var (began, shown) = (ContinuousClock.now, ContinuousClock.now)
        var isLineShown = false
        var isOver = false
        var warnings: Set<String> = []
    }

    private let state = Guarded(State())
    private let terminal = Terminal(descriptor: STDERR_FILENO)

    /// Lets what `body` reads be shown.
    func watch<Result>(_ body: () throws -> Result) rethrows -> Result {
        try ReadingProgress.observe({ self.show($0) }, while: body)
    }

    private func show(_ event: ReadingProgress) {
        switch event {
        case .warning(let message):
            guard state.withLock({ $0.warnings.insert(message).inserted }) else { return }
            showWarning(message)
        case .share(let share, let work): state.withLock { show(share, work, &$0) }
        }
    }

    private func show(_ share: Double, _ work: String, _ state: inout State) {
        let now = ContinuousClock.now
        if work != state.work { (state.work, state.began, state.shown) = (work, now, now) }
        if share >= 1 {
            state.work = ""
            return clear(&state)
        }
        let interval = terminal.isInteractive ? Duration.milliseconds(200) : .seconds(10)
        guard now - state.shown >= interval, now - state.began >= .milliseconds(500) else { return }
        state.shown = now
        let text = "\(work): \(Int(share * 100)) %"
        guard !state.isOver else { return }
        guard terminal.isInteractive else { return StandardStream(STDERR_FILENO).write(text + "\n") }
        StandardStream(STDERR_FILENO).write(Self.erase + text.suffix(max(terminal.width - 1, 1)))
        state.isLineShown = true
    }

    /// Shows no more shares.
    func end() {
        clear()
        state.withLock { $0.isOver = true }
    }

    /// Removes the line, so that another may begin.
    func clear() { state.withLock { clear(&$0) } }

    private func clear(_ state: inout State) {
        if state.isLineShown { StandardStream(STDERR_FILENO).write(Self.erase) }
        state.isLineShown = false
    }

    private static let erase = "\r\u{1B}[K"
}
