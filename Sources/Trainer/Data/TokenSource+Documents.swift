import Tensors

// The documents of a text are looked for where they are needed: an index of them could be larger than the text.

extension TokenSource {
    /// The same text as documents.
    public func separated(by separator: DocumentSeparator) -> TokenSource {
        TokenSource(name: name, storage: storage, range: range, separator: separator)
    }

    /// Returns the end of the document that holds a token: the position after its last token, a marker included.
    ///
    /// The first and the last document of a part of a text end where the part does.
    /// - Parameter limit: what is returned when the document is longer; a search goes no farther.
    /// - Throws: `InputError` that names the text when it cannot be read any more, like all below.
    public func documentEnd(after position: Int, limit: Int = .max) throws -> Int {
        let end = min(limit, count)
        require(
            position >= 0 && position < end,
            "TokenSource.documentEnd: token \(position) of \(name), which has \(count), limit \(limit)")
        var found = end
        try forEachDocument(in: position..<end) { document in
            found = document.upperBound
            return false
        }
        return found
    }

    /// Calls `body` with every document, or what of it lies within `part`, in order, as long as it returns true.
    func forEachDocument(in part: Range<Int>, _ body: (Range<Int>) throws -> Bool) throws {
        guard !part.isEmpty else { return }
        let (inStorage, offset) = (within(part), range.lowerBound)
        var start = part.lowerBound
        var isWanted = true
        switch separator {
        case .nothing: break
        case .files:
            while isWanted, start < part.upperBound {
                let end = min(storage.fileEnd(after: offset + start) - offset, part.upperBound)
                isWanted = try body(start..<end)
                start = end
            }
        case .marker(let byte):
            guard let marker = storage.token(of: byte) else { break }
            try storage.forEachPosition(of: marker, in: inStorage) { position in
                let end = position - offset + 1
                isWanted = try body(start..<end)
                start = end
                return isWanted
            }
        }
        if isWanted, start < part.upperBound { _ = try body(start..<part.upperBound) }
    }

    /// Tells whether the token at `position` is the first of its document.
    func startsDocument(at position: Int) throws -> Bool {
        try position == 0 || documentEnd(after: position - 1, limit: position + 1) == position
    }

    // MARK: Targets

    /// The number of tokens that are predicted: of each document all but the first. Reads the whole text if it has
    /// documents.
    public func targetCount() throws -> Int {
        var count = 0
        try forEachDocument(in: 0..<self.count) { document in
            count += document.count - 1
            return true
        }
        return count
    }

    /// Counts the bytes of UTF-8 text that the predicted tokens encode. Reads the whole text.
    /// - Parameter reversed: whether windows are reversed, so that of each document all but the last is predicted.
    public func targetByteCount(reversed: Bool = false) throws -> Int {
        var count = try byteCount()
        try forEachDocument(in: 0..<self.count) { document in
            let left = reversed ? document.upperBound - 1 : document.lowerBound
            count -= try storage.byteCount(of: within(left..<left + 1))
            return true
        }
        return count
    }

    /// The next tokens to read, from `position` on or after it: at least one and its target, at most `length` and
    /// theirs, all of one document.
    /// - Returns: inputs and targets together, of which the first is no target and the last no input; nil when there is
    ///   nothing to predict before `end`.
    func segment(from position: Int, length: Int, end: Int) throws -> Range<Int>? {
        var start = position
        while start < end - 1 {
            let stop = try documentEnd(after: start, limit: min(start + length + 1, end))
            if stop - start >= 2 { return start..<stop }
            // A document's last token. Before the next there may be any number that hold nothing else.
            start = stop
            try forEachDocument(in: stop..<min(stop + 1 << 16, end)) { document in
                start = document.lowerBound
                return document.count < 2
            }
        }
        return nil
    }

    /// - Throws: `InputError` when no document within `part` has a token to predict.
    func requireTarget(in part: Range<Int>) throws {
        guard try segment(from: part.lowerBound, length: 1, end: part.upperBound) == nil else { return }
        throw InputError(
            "\(name): has no document of two tokens or more (documents: \(separator)), so there is nothing to predict")
    }
}
