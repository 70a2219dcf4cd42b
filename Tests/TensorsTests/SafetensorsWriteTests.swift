import Foundation
import Tensors
import Testing

@Suite struct SafetensorsWriteTests {
    @Test("What is written is read back bit for bit")
    func roundTrip() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/weights.safetensors"
            let floats: [Float] = [
                1.5, -0.0, .infinity, -.infinity, Float(bitPattern: 0x7FC1_2345), Float(bitPattern: 0xFF81_2345),
                .leastNonzeroMagnitude, .greatestFiniteMagnitude,
            ]
            let metadata = ["kind": "test", "quote\"\\": "line\nbreak\u{1}\u{1F} é😀", "": ""]
            var writer = SafetensorsWriter(metadata: metadata)
            try writer.add("layers.1.weight", shape: [2, 1, 4], floats: floats)
            try writer.add("layers.0.tokens\n\"é", shape: [3], int32s: [1, .min, .max])
            try writer.add("step", shape: [], int64s: [.min])
            try writer.add("empty", shape: [0, 3], floats: [])
            try writer.write(to: path)

            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == metadata)
            #expect(file.names == ["empty", "layers.0.tokens\n\"é", "layers.1.weight", "step"])
            #expect(file.entries["layers.1.weight"]?.dtype == .float32)
            #expect(file.entries["layers.1.weight"]?.shape == [2, 1, 4])
            #expect(try file.floats("layers.1.weight").map(\.bitPattern) == floats.map(\.bitPattern))
            #expect(file.entries["layers.0.tokens\n\"é"]?.dtype == .int32)
            #expect(try file.int32s("layers.0.tokens\n\"é") == [1, .min, .max])
            #expect(file.entries["step"]?.dtype == .int64)
            #expect(file.entries["step"]?.shape == [])
            #expect(try file.withUnsafeBytes(of: "step") { $0.loadUnaligned(as: Int64.self) } == .min)
            #expect(try file.floats("empty") == [])
            for entry in file.entries.values { #expect(entry.byteRange.lowerBound % entry.dtype.size == 0) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["weights.safetensors"])
        }
    }

    @Test("A small file has exactly the expected bytes")
    func layout() throws {
        try withTemporaryFolder { folder in
            var writer = SafetensorsWriter(metadata: ["b": "2", "a": "1"], order: .asAdded)
            try writer.add("z", shape: [1], floats: [1])
            try writer.add("a", shape: [1], int64s: [2])
            try writer.write(to: folder + "/x")
            let header =
                #"{"__metadata__":{"a":"1","b":"2"},"z":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"#
                + #""a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#
            let padded = header + String(repeating: " ", count: 7 - (header.utf8.count + 7) % 8)
            #expect(padded.utf8.count % 8 == 0)
            #expect(
                try bytes(ofFile: folder + "/x")
                    == safetensorsBytes(header: Array(padded.utf8), data: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F]))
            #expect(try SafetensorsFile(path: folder + "/x").names == ["z", "a"])
        }
    }

    @Test("A file without tensors has an empty header")
    func withoutTensors() throws {
        try withTemporaryFolder { folder in
            try SafetensorsWriter().write(to: folder + "/x")
            #expect(try bytes(ofFile: folder + "/x") == safetensorsBytes(header: Array("{}      ".utf8), data: []))
        }
    }

    @Test("A source may hand its bytes over in parts")
    func parts() throws {
        try withTemporaryFolder { folder in
            var writer = SafetensorsWriter()
            try writer.add("x", dtype: .uint8, shape: [2, 3]) { output in
                for i in 0..<3 { try [UInt8(2 * i), UInt8(2 * i + 1)].withUnsafeBytes { try output($0) } }
            }
            try writer.write(to: folder + "/x")
            #expect(try SafetensorsFile(path: folder + "/x").floats("x") == [0, 1, 2, 3, 4, 5])
        }
    }

    @Test("Tensors that cannot be added are named")
    func tensorsThatCannotBeAdded() throws {
        var writer = SafetensorsWriter()
        try writer.add("x", shape: [2], floats: [1, 2])
        func message(_ name: String, _ shape: [Int], _ floats: [Float]) -> String? {
            inputErrorMessage { try writer.add(name, shape: shape, floats: floats) }
        }
        #expect(message("x", [1], [1]) == #"safetensors: tensor "x": is added twice; expected once"#)
        #expect(
            message("y", [2, 2], [1, 2, 3]) == #"safetensors: tensor "y": has 3 elements; expected 4 for shape [2, 2]"#)
        #expect(message("y", [-1], [1]) == #"safetensors: tensor "y": shape [-1] is negative or overflows"#)
        #expect(
            message("y", [1 << 62, 4], [1])
                == #"safetensors: tensor "y": shape [4611686018427387904, 4] is negative or overflows"#)
        #expect(message("__metadata__", [1], [1]) == #"safetensors: tensor "__metadata__": this name is reserved"#)
    }

    private struct Interruption: Error {}

    @Test("A write that fails leaves the old file and nothing else")
    func failures() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/weights"
            try AtomicFile.write(pythonFile, to: path)

            /// A tensor of [1000] that is followed by one whose source misbehaves.
            func write(_ source: @escaping SafetensorsWriter.Source) throws {
                var writer = SafetensorsWriter()
                try writer.add("a", shape: [1000], floats: [Float](repeating: 1, count: 1000))
                try writer.add("b", dtype: .float32, shape: [2], source: source)
                try writer.write(to: path)
            }
            #expect(throws: Interruption.self) { try write { _ in throw Interruption() } }
            for count in [1, 3] {
                let message = inputErrorMessage {
                    try write { output in
                        try [Float](repeating: 1, count: count).withUnsafeBytes { try output($0) }
                    }
                }
                #expect(message == #"\#(path): tensor "b": its source gave \#(4 * count) bytes; expected 8"#)
            }

            #expect(try bytes(ofFile: path) == pythonFile)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["weights"])

            let missing = folder + "/none/weights"
            #expect(
                inputErrorMessage { try SafetensorsWriter().write(to: missing) }
                    == "\(missing): cannot be written: No such file or directory")
        }
    }

    @Test("A file that is open keeps its bytes when it is replaced")
    func replacedWhileOpen() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/weights"
            try AtomicFile.write(pythonFile, to: path)
            let old = try SafetensorsFile(path: path)
            var writer = SafetensorsWriter()
            try writer.add("mask", shape: [1], int32s: [7])
            try writer.write(to: path)
            #expect(try old.int32s("mask") == [1, 0, 1])
            #expect(try SafetensorsFile(path: path).int32s("mask") == [7])
        }
    }
}
