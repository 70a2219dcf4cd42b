import Foundation

// The parts that commands share: options that are words, and the combinations that make no sense.

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

/// - Throws: `InputError` that names the option and the bound that the number is beyond.
package func requireRange(_ name: String, _ number: Int, _ range: ClosedRange<Int>) throws {
    guard !range.contains(number) else { return }
    let bound = number < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
    throw InputError("\(name): expected a whole number of \(bound), found \(number)")
}

/// Sets the number of threads that everything after this uses.
package func useThreads(_ threads: Int?) throws {
    guard let threads else { return }
    try requireRange("--threads", threads, Threads.counts)
    Threads.count = threads
}

extension String {
    /// The same file from wherever a command is run.
    package var absolutePath: String { hasPrefix("/") ? self : currentFolder + "/" + self }
}

/// The name under which a file can be found again, where it is given as one of the process's descriptors, such as /dev/stdin:
/// those are others in the next process. Any other name is as it was.
/// - Throws: `InputError` that names the option where the file has no name.
package func lastingName(_ option: String, _ path: String) throws -> String {
    let folders = ["/dev/fd/", "/proc/self/fd/", "/proc/\(getpid())/fd/"]
    guard path == "/dev/stdin" || folders.contains(where: path.hasPrefix) else { return path }
    var (given, found) = (stat(), stat())
    // What is no file is refused where it is opened.
    guard stat(path, &given) == 0, given.st_mode & S_IFMT == S_IFREG || given.st_mode & S_IFMT == S_IFDIR else {
        return path
    }
    guard let name = descriptorName(path), stat(name, &found) == 0, found.st_ino == given.st_ino,
        found.st_dev == given.st_dev
    else {
        throw InputError("\(option) \(path): has no name to find it again by; expected a file that has one")
    }
    return name
}

/// Returns the system's name of a descriptor's file.
private func descriptorName(_ path: String) -> String? {
    guard let name = realpath(path, nil) else { return nil }
    defer { free(name) }
    return String(cString: name)
}

extension JSONValue {
    /// - Throws: `InputError` that names the file, and the place where it is no JSON.
    package init(path: String) throws {
        self = try MappedFile(path: path).withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
    }
}
