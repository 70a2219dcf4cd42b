import Foundation
import Synchronization

/// The wish of the person at the keyboard to stop: the first Ctrl-C lets the current step end and the run be saved, the
/// second one ends the process.
public enum Interrupt {
    private static let flag = Atomic<Bool>(false)

    /// Catches the next SIGINT or SIGTERM.
    public static func catchNext() {
        flag.store(false, ordering: .relaxed)  // also makes sure that the handler finds it made
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] {
            sigaddset(&signals, number)
            signal(number) { number in
                Interrupt.flag.store(true, ordering: .relaxed)
                signal(number, SIG_DFL)
            }
        }
        // A process that was started from a thread with blocked signals, as Foundation does it, inherits that.
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    /// Whether one has been caught.
    public static var isWanted: Bool { flag.load(ordering: .relaxed) }
}
