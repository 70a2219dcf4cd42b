import NN
import Tensors
import Testing

@testable import Trainer

@Suite struct SequentialStreamsTests {
    private func streams(
        _ text: String, _ separator: DocumentSeparator = .nothing, length: Int, rows: Int
    ) throws -> SequentialStreams {
        try SequentialStreams(byteTokens(text, separator), sequenceLength: length, batchSize: rows)
    }

    @Test("Rows continue where they stopped")
    func rowsContinueWhereTheyStopped() throws {
        var streams = try streams("abcdefghijk", length: 2, rows: 2)
        #expect(streams.batchesPerEpoch == 3)
        for epoch in 1...2 {
            #expect(try picture(streams.next()) == ["^ab>bc", "^fg>gh"])
            #expect(try picture(streams.next()) == ["cd>de", "hi>ij"])
            #expect(streams.epoch == epoch - 1)
            #expect(try picture(streams.next()) == ["e_>f_", "j_>k_"])
            #expect(streams.epoch == epoch)
        }
    }

    @Test("Every document begins a row")
    func documentsBeginInRowsOfTheirOwn() throws {
        var streams = try streams("ab.c..def", .marker(UInt8(ascii: ".")), length: 2, rows: 1)
        #expect(streams.batchesPerEpoch == 3)
        for _ in 0..<2 {
            #expect(try picture(streams.next()) == ["^ab>b."])
            #expect(try picture(streams.next()) == ["^c_>._"])
            #expect(try picture(streams.next()) == ["^de>ef"])
        }
    }

    @Test("A row that has ended is padded until the epoch ends")
    func aRowThatHasEndedWaits() throws {
        // Parts of four targets; in the second all documents but one are markers alone.
        var streams = try streams("abcde...f", .marker(UInt8(ascii: ".")), length: 3, rows: 2)
        #expect(streams.batchesPerEpoch == 2)
        #expect(try picture(streams.next()) == ["^abc>bcd", "^e__>.__"])
        #expect(try picture(streams.next()) == ["d__>e__", "^___>___"])
        #expect(try picture(streams.next()) == ["^abc>bcd", "^e__>.__"])
    }

    @Test("There may be more rows than tokens")
    func moreRowsThanTokens() throws {
        var streams = try streams("abc", length: 4, rows: 5)
        #expect(streams.batchesPerEpoch == 1)
        #expect(
            try picture(streams.next()) == ["^____>____", "^____>____", "^a___>b___", "^____>____", "^b___>c___"])
        #expect(streams.epoch == 1)
    }

    /// So every target comes once an epoch, in order; no window crosses documents; no batch is all padding.
    @Test("Batches of random texts are those of a loop over all targets", arguments: 0..<400)
    func batchesAreThoseOfALoopOverAllTargets(seed: Int) throws {
        let example = DocumentExample(
            seed: seed, separator: seed % 4 < 2 ? .marker(DocumentExample.marker) : .nothing)
        var generator = SplitMix64(seed: UInt64(seed), stream: 1)
        let (length, rows) = (1 + generator.next(below: 9), 1 + generator.next(below: 6))
        let targets = example.tokens.count - 1
        let bounds = (0...rows).map { $0 * targets / rows }
        let runs = (0..<rows).map { row in example.runs(of: bounds[row] + 1..<bounds[row + 1] + 1, length: length) }
        let steps = runs.map(\.count).max()!
        guard steps > 0 else {
            #expect(throws: InputError.self) {
                try SequentialStreams(example.source, sequenceLength: length, batchSize: rows)
            }
            return
        }
        var streams = try SequentialStreams(example.source, sequenceLength: length, batchSize: rows)
        #expect(streams.batchesPerEpoch == steps)
        var counted = 0
        for step in 0..<2 * steps {
            let segments = runs.map { row in step % steps < row.count ? row[step % steps] : [] }
            let starts = segments.enumerated().map { row, segment in
                segment.first.map { $0 - 1 == bounds[row] || example.starts.contains($0 - 1) } ?? true
            }
            let batch = try streams.next()
            #expect(example.isEqual(batch, segments, length: length, startsDocument: starts))
            #expect(batch.targetCount > 0)
            #expect(streams.epoch == (step + 1) / steps)
            counted += batch.targetCount
        }
        #expect(counted == 2 * (example.tokens.count - example.documents.count))
    }

    @Test("Streams resumed from a saved position give the same batches", arguments: 0..<60)
    func resumedStreamsGoOnWithTheSameBatches(seed: Int) throws {
        let example = DocumentExample(
            seed: seed, separator: seed % 4 < 2 ? .marker(DocumentExample.marker) : .nothing)
        guard try example.source.targetCount() > 0 else { return }
        let length = 1 + seed % 7
        let rows = 1 + seed % 5
        var streams = try SequentialStreams(example.source, sequenceLength: length, batchSize: rows)
        for _ in 0..<2 * streams.batchesPerEpoch + 1 {
            let saved = "\(streams.position.json)"
            let position = try SequentialStreams.Position(
                JSONValue(parsing: saved.utf8, file: "state"), file: "state")
            #expect(position == streams.position)
            var resumed = try SequentialStreams(example.source, sequenceLength: length, batchSize: rows)
            try resumed.move(to: position)
            #expect(resumed.position == streams.position)
            var uninterrupted = streams
            for _ in 0..<3 {
                #expect(try resumed.next() == uninterrupted.next())
                #expect(resumed.position == uninterrupted.position)
            }
            _ = try streams.next()
        }
    }

    @Test("Streams follow files and tokens of several bytes")
    func filesAndCharacters() throws {
        let folder = try TemporaryFolder()
        let text = try TextSource(paths: ["añb", "c", "€d"].enumerated().map { try folder.write($1, "\($0)") })
        let tokenizer = try CharacterTokenizer(learningFrom: [text])
        let tokens = try tokenizer.tokens(of: text).separated(by: .files)
        var streams = try SequentialStreams(tokens, sequenceLength: 4, batchSize: 1)
        let batches = try (0..<2).map { _ in try streams.next() }
        #expect(batches.map { tokenizer.decode(Array($0.targets.prefix($0.targetCount))) } == ["ñb", "d"])
        #expect(batches.map { tokenizer.decode(Array($0.inputs.prefix($0.targetCount))) } == ["añ", "€"])
        #expect(batches.allSatisfy { $0.startsDocument == [true] })
        #expect(streams.epoch == 1)
    }

    // MARK: What cannot be

    @Test("A text without a target is refused")
    func nothingToPredict() throws {
        expectError("a text: has 1 token; a sequence length of 1 needs at least 2") {
            try streams("a", length: 4, rows: 2)
        }
        let none = "has no document of two tokens or more (documents: lines), so there is nothing to predict"
        expectError("a text: \(none)") { try streams("\n\n\na", .marker(10), length: 4, rows: 2) }
        expectError("a text: \(none)") { try SequentialWindows(byteTokens("\n\n\na", .marker(10)), sequenceLength: 4) }
        expectError("a text: \(none)") {
            // There is one, but no window of four targets begins there.
            try WindowSampler(byteTokens("\n\n\n\na\n", .marker(10)), sequenceLength: 4, batchSize: 1, seed: 0)
        }
    }

    @Test("A position of other streams is refused", arguments: [[0], [0, 5, 9], [7, 5], [0, 4], [0, 12], [6, 11]])
    func positionsOfOtherStreamsAreRefused(offsets: [Int]) throws {
        var streams = try streams("abcdefghijk", length: 2, rows: 2)
        expectError(
            naming: "a text", "\(offsets)", "expected", "2 equal parts", "11 tokens"
        ) { try streams.move(to: .init(epoch: 0, offsets: offsets)) }
        #expect(try picture(streams.next()) == ["^ab>bc", "^fg>gh"])
    }

    @Test("A malformed position is refused")
    func positionsThatAreNone() {
        expectError("state: \"offsets\": is missing; expected a list of whole numbers, each of at least 0") {
            try SequentialStreams.Position(.object(["epoch": .integer(1)]), file: "state")
        }
        expectError("state: \"epoch\": expected a whole number from 0 to 1099511627776, found -1") {
            try SequentialStreams.Position(.object(["epoch": .integer(-1), "offsets": .array([])]), file: "state")
        }
    }
}
