import Foundation

/// The descriptors 0 to 2, which a shell can close (`<&- >&-`).
enum StandardDescriptors {
    /// Has those that are closed read and write nothing, before another file is opened: it would get the number of one of
    /// them, and what is printed would go into it.
    static func reserve() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest number that is free, which is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }
}
