import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct LargeTextTests {
    private static let size = 1 << 27

    /// 128 MiB with a marker here and there, almost without blocks on the disk, and the documents between them.
    private func largeText(in folder: TemporaryFolder) throws -> (path: String, documents: [Range<Int>]) {
        let path = try folder.write("", "large.txt")
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: UInt64(Self.size))
        var generator = SplitMix64(seed: 8)
        let markers = Set((0..<50).map { _ in generator.next(below: Self.size) }).sorted()
        for marker in markers {
            try file.seek(toOffset: UInt64(marker))
            try file.write(contentsOf: [1])
        }
        try file.close()
        let ends = markers.map { $0 + 1 } + [Self.size]
        return (path, zip([0] + ends, ends).filter { $0 < $1 }.map { $0..<$1 })
    }

    /// Neither as a copy, which would add all of the text or more to the process's memory, nor as pages of a mapping.
    @Test(
        "Reading a large text keeps none of it in memory",
        .enabled(if: residentMemory(ofPath: "") != nil, "needs /proc of Linux to see what is resident"))
    func readingAllOfALargeTextCostsNoMemory() throws {
        let folder = try TemporaryFolder()
        let (path, documents) = try largeText(in: folder)
        let source = ByteTokenizer().tokens(of: try TextSource(path: path)).separated(by: .marker(1))
        let before = try #require(residentMemory(ofPath: path)).process
        func expectFlat(_ what: Comment, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let memory = try #require(residentMemory(ofPath: path))
            #expect(memory.mapping < 3 << 20, what, sourceLocation: sourceLocation)
            #expect(memory.process - before < Self.size, what, sourceLocation: sourceLocation)
        }
        #expect(try source.fingerprint().count == 8)
        try expectFlat("the fingerprint")
        for document in documents {
            #expect(try source.documentEnd(after: document.lowerBound) == document.upperBound)
        }
        try expectFlat("ends of documents")
        var streams = try SequentialStreams(source, sequenceLength: 1 << 16, batchSize: 8)
        try expectFlat("counting batches")
        var targets = 0
        for step in 0..<streams.batchesPerEpoch {
            targets += try streams.next().targetCount
            if step % 50 == 0 { try expectFlat("streams") }
        }
        #expect(streams.epoch == 1)
        #expect(targets == source.count - documents.count)
        #expect(
            try DataSplit(source, sequenceLength: 1024).training.count
                == documents.map(\.upperBound).first {
                    $0 >= Self.size - Self.size / 10
                })
        let sampler = try WindowSampler(source, sequenceLength: 1 << 16, batchSize: 8, seed: 1)
        for step in 0..<10 { #expect(try sampler.batch(at: step).targetCount > 0) }
        try expectFlat("windows")
    }
}

/// Bytes in memory now, of the process and of its mapping of a file; nil where the system does not tell.
private func residentMemory(ofPath path: String) -> (process: Int, mapping: Int)? {
    func bytes(_ line: Substring) -> Int { line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0 }
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
        let maps = try? String(contentsOfFile: "/proc/self/smaps", encoding: .utf8),
        let resident = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
    else { return nil }
    var (mapping, isOfPath) = (0, false)
    for line in maps.split(separator: "\n") {
        if line.hasPrefix("Rss:") {
            if isOfPath { mapping += bytes(line) }
        } else if line.first?.isUppercase == false || line.first?.isNumber == true {
            isOfPath = line.hasSuffix(" " + path)
        }
    }
    return (bytes(resident) << 10, mapping << 10)
}
