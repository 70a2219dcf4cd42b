/// What a program can tell about texts while it prepares them: how far long work has come (writing the built-in corpus,
/// learning characters, counting batches, checksums), and what is odd about a file.
///
///     try ReadingProgress.$observer.withValue({ print($0) }, operation: { try command.run() })
public enum ReadingProgress: Sendable, Hashable {
    /// The share of some work that is done, from 0 to 1, such as "reading book.txt"; 1 also where it ended early.
    case share(Double, of: String)
    /// Something that should be known of a text, in one line.
    case warning(String)

    /// Called from time to time, by the thread that reads.
    @TaskLocal public static var observer: (@Sendable (ReadingProgress) -> Void)?

    /// Work on fewer bytes is over before anybody asks.
    private static let least = 1 << 24

    /// Tells the observer, if there is one, that `count` of `total` bytes are done.
    static func report(_ work: @autoclosure () -> String, _ count: Int, of total: Int) {
        guard total >= least, let observer else { return }
        observer(.share(Double(count) / Double(total), of: work()))
    }
}
