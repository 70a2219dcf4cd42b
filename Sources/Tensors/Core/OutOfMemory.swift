import Foundation
import Synchronization

/// The end of a program that does not get the memory it needs although nothing has foreseen it. There is no way back from
/// the middle of an operation: a program can say how it ends, and what is safe.
public enum OutOfMemory {
    /// Sets how the program ends: `end` is given one line that says what was wanted and what is safe. By default it stops
    /// like a programmer's mistake does; the commands write the line and exit with 1.
    public static func setEnd(_ end: @escaping @Sendable (_ line: String) -> Never) { state.withLock { $0.end = end } }

    /// Ends the program.
    /// - Parameter problem: what was wanted, and of how much.
    public static func end(_ problem: String) -> Never {
        // Threads that find the same at once leave it to the first.
        while isEnding.exchange(true, ordering: .relaxed) { sleep(1) }
        let (end, notes) = state.withLock { ($0.end, $0.notes.sorted { $0.key < $1.key }.map(\.value)) }
        let line = ([problem] + notes).joined(separator: "; ")
        if let end { end(line) }
        fatalError(line)
    }

    /// A note on what is saved and how to resume, printed if memory runs out during the note's life.
    public final class Note: Sendable {
        private let number: Int

        /// Creates a note with a text.
        public init(_ text: String) {
            number = state.withLock { state in
                state.number += 1
                state.notes[state.number] = text
                return state.number
            }
        }

        /// Replaces the text.
        public func update(_ text: String) { state.withLock { $0.notes[number] = text } }

        deinit { state.withLock { $0.notes[number] = nil } }
    }

    private static let isEnding = Atomic(false)

    private struct State {
        var end: (@Sendable (String) -> Never)?
        var notes: [Int: String] = [:]
        var number = 0
    }
    private static let state = Guarded(State())
}
