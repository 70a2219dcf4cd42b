import Foundation

/// A file of any size as bytes that the system reads when they are touched: a private, read-only memory map.
///
/// The bytes stay valid as long as the object lives; the last reference unmaps them. As with every memory map, another
/// program that shortens the file meanwhile ends this process at the next access; replacing it by a rename does not.
public final class MappedFile: Sendable {
    /// The path as given.
    public let path: String
    /// The number of bytes.
    public let count: Int
    /// The address of the bytes; nil for an empty file, which cannot be mapped. `UInt` because a pointer is not
    /// Sendable; the bytes never change, so any number of threads may read them.
    private let address: UInt

    /// Maps a file.
    /// - Throws: `InputError` that names the path when it is missing, a folder, not a regular file, or not readable.
    public init(path: String) throws {
        let (descriptor, status) = try RegularFile.open(path)
        defer { close(descriptor) }
        self.path = path
        count = Int(status.st_size)
        guard count > 0 else {
            address = 0
            return
        }
        guard let map = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), map != MAP_FAILED else {
            throw InputError("\(path): cannot be mapped into memory: \(systemErrorText(errno))")
        }
        address = UInt(bitPattern: map)
    }

    deinit {
        if count > 0 { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
    }

    /// Calls `body` with all bytes; the buffer must not be used after `body` returns.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) {
            try body(UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: count))
        }
    }
}

/// Returns the system's text for an error number, such as "No such file or directory".
package func systemErrorText(_ code: Int32) -> String {
    String(cString: strerror(code))
}
