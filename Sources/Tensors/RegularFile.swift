import Foundation

/// Opens files that can be read at any place, and says in one line why others cannot.
package enum RegularFile {
    /// Opens a file for reading.
    /// - Returns: an open descriptor, the caller's to close, and what the system says of the file.
    /// - Throws: `InputError` that names the path when it is missing, a folder, not a regular file, or not readable.
    package static func open(_ path: String) throws -> (descriptor: Int32, status: stat) {
        // O_NONBLOCK: opening a named pipe without a writer would wait for ever.
        let descriptor = Foundation.open(path.fileSystemName, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        do {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
            let kind = status.st_mode & S_IFMT
            guard kind != S_IFDIR else { throw InputError("\(path): is a folder; expected a file") }
            guard kind == S_IFREG else { throw InputError("\(path): is not a regular file") }
            return (descriptor, status)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// The error for a file that the system does not let one read.
    package static func unreadable(_ path: String, _ code: Int32) -> InputError {
        InputError("\(path): cannot be read: \(systemErrorText(code))")
    }
}
