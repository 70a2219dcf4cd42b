import Foundation
import Synchronization

/// The wish of the person at the keyboard, or of the system, to stop. The first Ctrl-C (SIGINT), SIGTERM or SIGHUP lets the
/// current step end and the run be saved. A Ctrl-C after that ends the process at once; a second SIGTERM or SIGHUP does
/// not, as `timeout` and closing terminals send theirs twice.
package enum Interrupt {
    private static let signalCaught = Atomic<Int32>(0)
    private static let isNoticeWanted = Atomic<Bool>(false)

    /// Catches the signals from now on.
    /// - Parameter withNotice: whether the first one is answered with a line on standard error.
    package static func catchSignals(withNotice: Bool) {
        // Storing also makes sure that the handler finds them made.
        signalCaught.store(0, ordering: .relaxed)
        isNoticeWanted.store(withNotice, ordering: .relaxed)
        for number in all {
            let before = signal(number, Interrupt.handler)
            // `nohup` has SIGHUP ignored, and means it.
            if number == SIGHUP, before.map({ unsafeBitCast($0, to: Int.self) }) == 1 { signal(number, SIG_IGN) }
        }
    }

    /// Lets the signals through to this thread and those it starts: a process that was itself started by a thread that had
    /// them blocked, as Foundation does it, inherits that.
    package static func unblockSignals() {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in all { sigaddset(&signals, number) }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    private static let all = [SIGINT, SIGTERM, SIGHUP]

    /// True once a signal has been caught.
    package static var isWanted: Bool { caught != nil }

    /// The number of the first signal that was caught.
    package static var caught: Int32? {
        let number = signalCaught.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Does only what may be done in a signal handler: atomic variables, write(2), signal(2), kill(2).
    private static let handler: @convention(c) (Int32) -> Void = { number in
        let isFirst = Interrupt.signalCaught.compareExchange(expected: 0, desired: number, ordering: .relaxed).exchanged
        if isFirst {
            if Interrupt.isNoticeWanted.load(ordering: .relaxed) {
                // The cursor may stand in a progress line, behind the "^C" of the terminal.
                let notice: StaticString = "\nFinishing this step and saving. Another Ctrl-C stops at once.\n"
                _ = write(STDERR_FILENO, notice.utf8Start, notice.utf8CodeUnitCount)
            }
        } else if number == SIGINT {
            let newline: StaticString = "\n"
            if Interrupt.isNoticeWanted.load(ordering: .relaxed) { _ = write(STDERR_FILENO, newline.utf8Start, 1) }
            signal(number, SIG_DFL)
            kill(getpid(), number)
        }
    }
}
