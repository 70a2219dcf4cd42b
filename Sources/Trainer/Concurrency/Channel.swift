import Foundation
import Synchronization
import Tensors

/// Passes what a thread makes to the one task that waits for it, and the wish to stop back.
///
/// Unlike `AsyncStream` it does not end with the cancellation of the task that reads: what the thread still has to say,
/// such as where it saved, arrives.
final class Channel<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var end: Result<Void, any Error>?
        var waiting: CheckedContinuation<Element?, any Error>?
    }

    private let state = Guarded(State())
    private let stop = Atomic<Bool>(false)

    /// True once the reader wants no more.
    var isStopWanted: Bool { stop.load(ordering: .relaxed) }

    func requestStop() { stop.store(true, ordering: .relaxed) }

    func send(_ element: Element) {
        let waiting = state.withLock { state in
            guard let waiting = state.waiting else {
                state.elements.append(element)
                return nil as CheckedContinuation<Element?, any Error>?
            }
            state.waiting = nil
            return waiting
        }
        waiting?.resume(returning: element)
    }

    /// Ends the sequence, after what has been sent before.
    func finish(_ end: Result<Void, any Error>) {
        let waiting = state.withLock { state in
            state.end = end
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume(with: end.map { nil })
    }

    /// The next element; nil after the last. For one reader.
    func next() async throws -> Element? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let ready: Result<Element?, any Error>? = state.withLock { state in
                    if !state.elements.isEmpty { return .success(state.elements.removeFirst()) }
                    if let end = state.end { return end.map { nil } }
                    state.waiting = continuation
                    return nil
                }
                if let ready { continuation.resume(with: ready) }
            }
        } onCancel: {
            requestStop()
        }
    }
}

/// Runs work of minutes on a thread of its own: Swift's pool of threads, as many as processors, is for work that gives way.
func onThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.stackSize = 8 << 20
    thread.start()
}
