// Words of the command lines that are shown to people.

extension String {
    /// The word as a POSIX shell reads it back: in single quotes where it has to be.
    package var shellQuoted: String {
        let isPlain =
            !isEmpty
            && unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || "0123456789_./-+=:,@%".unicodeScalars.contains($0))
            }
        return isPlain ? self : "'" + replacing("'", with: "'\\''") + "'"
    }

    /// The path in a form that no command takes for an option. Quotes would not help: the shell removes them.
    package var pathArgument: String { hasPrefix("-") ? "./" + self : self }
}
