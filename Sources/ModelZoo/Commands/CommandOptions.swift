import Foundation

// What the commands share: options that are words, and the combinations that make no sense.

/// One of the words that an option takes.
/// - Throws: `InputError` that names the option, its words, and the nearest.
package func option<Word: RawRepresentable<String> & CaseIterable>(_ name: String, _ text: String) throws -> Word {
    if let word = Word(rawValue: text) { return word }
    let words = Word.allCases.map(\.rawValue)
    let hint = nearest(text, in: words).map { "; did you mean \"\($0)\"?" } ?? ""
    throw InputError("\(name): expected one of \(words.joined(separator: ", ")), found \"\(text)\"\(hint)")
}

/// Refuses the options that were given where they have no meaning.
/// - Parameter options: names, and whether they were given.
package func refuse(_ options: [(name: String, isGiven: Bool)], _ reason: String) throws {
    if let wrong = options.first(where: \.isGiven) { throw InputError("\(wrong.name): \(reason)") }
}

/// Sets the number of threads that everything after this uses.
package func useThreads(_ threads: Int?) throws {
    guard let threads else { return }
    guard threads >= 1 else { throw InputError("--threads: expected a whole number of at least 1, found \(threads)") }
    Threads.count = threads
}

extension String {
    /// The same file from wherever a command is run.
    package var absolutePath: String { hasPrefix("/") ? self : FileManager.default.currentDirectoryPath + "/" + self }
}

extension JSONValue {
    /// - Throws: `InputError` that names the file, and the place where it is no JSON.
    init(path: String) throws {
        self = try MappedFile(path: path).withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
    }
}
