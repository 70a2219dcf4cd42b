import Foundation
import Tensors
import Testing

/// Steele, Lea and Flood 2014; here so that every run draws the same mutations.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct SafetensorsFuzzTests {
    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix64) {
        let position = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[position] = .random(in: 0 ... .max, using: &random)
        case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.remove(at: position)
        case 3: bytes.insert(Array("{}[]\",:\\0129 -.".utf8).randomElement(using: &random)!, at: position)
        case 4: bytes.removeSubrange(position...)
        default:
            let end = min(bytes.count, position + 20)
            bytes.insert(contentsOf: bytes[position..<end], at: .random(in: 0..<bytes.count, using: &random))
        }
    }

    /// Reads all that a file says it has.
    private func readAll(_ path: String) throws {
        let file = try SafetensorsFile(path: path)
        for name in file.names {
            _ = try file.floats(name)
            if let dtype = file.entries[name]?.dtype, ![.float64, .float32, .float16, .bfloat16].contains(dtype) {
                _ = try file.int32s(name)
            }
        }
    }

    @Test("2000 mutations of a valid file are read or refused in one line that names the file")
    func mutations() throws {
        var random = SplitMix64(state: 1)
        try withTemporaryFolder { folder in
            let path = folder + "/x"
            var refused = 0
            for _ in 0..<2000 {
                var bytes = pythonFile
                for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty { mutate(&bytes, &random) }
                // Half of them with a length that fits, so that more than the first check is reached.
                if bytes.count >= 8, Bool.random(using: &random) {
                    let length = UInt64(max(0, bytes.count - 8 - 77)).littleEndian
                    bytes.replaceSubrange(0..<8, with: withUnsafeBytes(of: length, Array.init))
                }
                // Not Data.write, which waits for the disk, 2000 times.
                let stream = try #require(fopen(path, "w"))
                #expect(fwrite(bytes, 1, bytes.count, stream) == bytes.count)
                #expect(fclose(stream) == 0)
                do {
                    try readAll(path)
                } catch let error as InputError {
                    refused += 1
                    #expect(error.message.hasPrefix(path + ": "))
                    #expect(!error.message.contains("\n"))
                }
            }
            // Most mutations break the header; those of the data, or of a name, are read.
            #expect((1000..<2000).contains(refused))
        }
    }
}
