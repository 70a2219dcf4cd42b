import ArgumentParser
import Foundation
import ModelZoo

/// Shows a run that keeps what is finished on standard output, has signals stop it, and says how it ended.
package final class CellsDisplay {
    /// The terminal that it writes to.
    package let terminal = Terminal()
    private let output = StandardStream()

    /// Creates a display on standard output.
    package init() {}

    /// Writes to standard output at once; what becomes of a failure `finish` says.
    package func write(_ text: String) { output.write(text) }

    /// Runs something that signals, or a reader who goes away, may stop.
    /// - Parameters:
    ///   - end: what to write before an error, so that its line begins a line.
    ///   - body: is given what to call when nothing is wrong with its input, and what to ask whether to stop.
    package func run<Result>(
        end: () -> String, running body: (_ prepared: () -> Void, _ stop: () -> Bool) throws -> Result
    ) throws -> Result {
        Interrupt.unblockSignals()
        defer { output.write(end()) }
        return try body(
            { [self] in
                StandardStream.ignorePipeSignal()
                Interrupt.catchSignals(withNotice: terminal.isInteractive)
            }, { [self] in Interrupt.isWanted || output.isMissed })
    }

    /// After all has been written.
    /// - Parameter status: what the command exits with when it was not stopped, and not all is finished.
    /// - Throws: why nothing can be written; `ExitCode` where not all is finished.
    package func finish(isComplete: Bool, otherwise status: Int32) throws {
        if !isComplete { output.write("not all cells are finished: the same command goes on with the others\n") }
        if let error = output.failure?.error { throw error }
        guard !isComplete else { return }
        guard let signal = Interrupt.caught ?? (output.failure == nil ? nil : SIGPIPE) else { throw ExitCode(status) }
        throw ExitCode(ExitStatus.stopped(by: signal))
    }
}
