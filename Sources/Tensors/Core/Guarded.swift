#if THREAD_SANITIZER
    import Foundation

    /// A value behind a lock.
    ///
    /// `Mutex` waits inside the standard library, which is not built for the thread sanitizer: it takes a lock that was
    /// waited for as not held, and reports what it guards. `NSLock` is one of the system's, which the sanitizer knows.
    package final class Guarded<Value>: @unchecked Sendable {
        private let lock = NSLock()
        private var value: Value

        /// Puts a value behind the lock.
        package init(_ value: Value) { self.value = value }

        /// Calls `body` with the value while the lock is held.
        package func withLock<Result, Failure: Error>(
            _ body: (inout Value) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            lock.lock()
            defer { lock.unlock() }
            return try body(&value)
        }
    }
#else
    import Synchronization

    /// A value behind a lock.
    package typealias Guarded<Value> = Mutex<Value>
#endif
