/// Reports about texts while a program prepares them: the progress of long work (writing the built-in corpus, learning
/// characters, counting batches, checksums), and oddities of files.
///
///     try ReadingProgress.observe({ print($0) }, while: { try command.run() })
public enum ReadingProgress: Sendable, Hashable {
    /// The share of some work that is done, from 0 to 1, such as "reading book.txt"; 1 also where it ended early.
    case share(Double, of: String)
    /// Something that should be known of a text, in one line.
    case warning(String)

    /// Lets an observer know what is read while a body runs.
    /// - Parameter observer: called from time to time, by the thread that reads; nil for nobody.
    public static func observe<Result>(
        _ observer: (@Sendable (ReadingProgress) -> Void)?, while body: () throws -> Result
    ) rethrows -> Result {
        try $current.withValue(observer.map { Observer(tell: $0) }, operation: body)
    }

    /// Tells the observer, if there is one.
    static func tell(_ event: ReadingProgress) { current?.tell(event) }

    /// An object, as optimized code of Swift 6.3 ends by a signal where a closure is the value of a task.
    private final class Observer: Sendable {
        let tell: @Sendable (ReadingProgress) -> Void

        init(tell: @escaping @Sendable (ReadingProgress) -> Void) { self.tell = tell }
    }

    @TaskLocal private static var current: Observer?

    /// Work on fewer bytes is over before anybody asks.
    private static let least = 1 << 24

    /// Tells the observer, if there is one, that `count` of `total` bytes are done.
    static func report(_ work: @autoclosure () -> String, _ count: Int, of total: Int) {
        guard total >= least, let current else { return }
        current.tell(.share(Double(count) / Double(total), of: work()))
    }
}
