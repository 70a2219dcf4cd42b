import Foundation
import Tensors
import Testing

@Suite struct SafetensorsReadTests {
    /// One tensor "x" of `count` elements whose bytes are given in hexadecimal.
    private func bytes(_ dtype: String, _ count: Int, _ hexadecimal: String, padding: String = "") -> [UInt8] {
        let digits = hexadecimal.filter { $0 != " " }.map { UInt8($0.hexDigitValue!) }
        let data = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        let header = #"{"x":{"dtype":"\#(dtype)","shape":[\#(count)],"data_offsets":[0,\#(data.count)]}}"# + padding
        return safetensorsBytes(header: Array(header.utf8), data: data)
    }

    /// The header's padding moves the data to every alignment.
    @Test(
        "Every type is read as floats, at every alignment",
        arguments: [
            (
                "F64", "000000000000F83F 000000000000F07F 9A9999999999B93F FFFFFFFFFFFFEFFF",
                [1.5, .infinity, 0.1, -.infinity]
            ),
            ("F32", "0000C03F 000080FF 00000080 01000000", [1.5, -.infinity, -0.0, .leastNonzeroMagnitude]),
            ("F16", "003E FFFB 0080 0100 007C", [1.5, -65504, -0.0, 0x1p-24, .infinity]),
            ("BF16", "C03F 80FF 0080 0100", [1.5, -.infinity, -0.0, 0x1p-133]),
            ("I64", "0100000000000000 FEFFFFFFFFFFFFFF 0000000000000080 0100000001000000", [1, -2, -0x1p63, 0x1p32]),
            ("I32", "01000000 FEFFFFFF 00000080 01000001", [1, -2, -0x1p31, 0x1p24]),
            ("I16", "0100 FEFF 0080 FF7F", [1, -2, -32768, 32767]),
            ("I8", "01 FE 80 7F", [1, -2, -128, 127]),
            ("U64", "0100000000000000 0000000001000000 FFFFFFFFFFFFFFFF", [1, 0x1p32, 0x1p64]),
            ("U32", "01000000 FEFFFFFF 00000080", [1, 0x1p32, 0x1p31]),
            ("U16", "0100 FEFF 0080", [1, 65534, 32768]),
            ("U8", "01 FE 80 7F", [1, 254, 128, 127]),
            ("BOOL", "01 00 01", [1, 0, 1]),
        ] as [(String, String, [Float])])
    func types(dtype: String, hexadecimal: String, expected: [Float]) throws {
        for spaces in 0..<8 {
            let file = try safetensorsFile(
                bytes(dtype, expected.count, hexadecimal, padding: String(repeating: " ", count: spaces)))
            #expect(file.entries["x"]?.dtype.rawValue == dtype)
            #expect(try file.floats("x").map(\.bitPattern) == expected.map(\.bitPattern))
        }
    }

    @Test(
        "Integer types are read as Int32",
        arguments: [
            ("I64", "FFFFFF7F00000000 00000080FFFFFFFF", [Int32.max, .min]), ("I32", "01000000 00000080", [1, .min]),
            ("I16", "FEFF FF7F", [-2, 32767]), ("I8", "FE 7F", [-2, 127]), ("U8", "FE 7F", [254, 127]),
            ("U64", "FFFFFF7F00000000 0000000000000000", [.max, 0]), ("U32", "FFFFFF7F 01000000", [.max, 1]),
            ("U16", "FEFF 0080", [65534, 32768]),
            ("BOOL", "01 00", [1, 0]),
        ] as [(String, String, [Int32])])
    func integers(dtype: String, hexadecimal: String, expected: [Int32]) throws {
        #expect(try safetensorsFile(bytes(dtype, 2, hexadecimal, padding: " ")).int32s("x") == expected)
    }

    @Test("Half and bfloat16 tensors longer than a conversion block are read")
    func longHalves() throws {
        let halves = (0..<9001).map { Float16($0 % 2048) }
        let data = halves.flatMap { withUnsafeBytes(of: $0.bitPattern, Array.init) }
        let header = #"{"x":{"dtype":"F16","shape":[9001],"data_offsets":[0,18002]}}"#
        let file = try safetensorsFile(safetensorsBytes(header: Array(header.utf8), data: data))
        #expect(try file.floats("x") == halves.map { Float($0) })
    }

    @Test("Integers out of range and other types are named")
    func integersOutOfRangeAndFloats() throws {
        func message(_ bytes: [UInt8]) throws -> String? {
            let file = try safetensorsFile(bytes)
            return inputErrorMessage { _ = try file.int32s("x") }?.replacingOccurrences(of: file.path, with: "FILE")
        }
        #expect(
            try message(bytes("I64", 2, "0100000000000000 0000008000000000"))
                == #"FILE: tensor "x": value 2147483648 is out of range; expected -2147483648 to 2147483647"#)
        #expect(
            try message(bytes("U32", 2, "00000000 00000080"))
                == #"FILE: tensor "x": value 2147483648 is out of range; expected -2147483648 to 2147483647"#)
        #expect(
            try message(bytes("U64", 1, "FFFFFFFFFFFFFFFF"))
                == #"FILE: tensor "x": value 18446744073709551615 is out of range; expected -2147483648 to 2147483647"#)
        for (type, digits) in [("F16", "0000"), ("C64", "0000000000000000"), ("Q3_K", "00")] {
            #expect(
                try message(bytes(type, 1, digits))
                    == #"FILE: tensor "x": is \#(type); expected I64, I32, I16, I8, U64, U32, U16, U8 or BOOL"#)
        }
    }

    @Test(
        "A file opens whatever types its tensors have; only what is asked for must be readable",
        arguments: [
            ("C64", 1, 8), ("F8_E4M3", 3, 3), ("F8_E5M2", 2, 2), ("F8_E8M0", 1, 1), ("F6_E3M2", 4, 3), ("F4", 6, 3),
            ("U64", 1, 8), ("TYPE_OF_2030", 5, 7),
        ])
    func unreadableTypes(type: String, count: Int, size: Int) throws {
        let header = """
            {"odd":{"dtype":"\(type)","shape":[\(count)],"data_offsets":[0,\(size)]},
            "x":{"dtype":"U16","shape":[1],"data_offsets":[\(size),\(size + 2)]}}
            """
        let data = [UInt8](repeating: 0, count: size) + [7, 1]
        let file = try safetensorsFile(safetensorsBytes(header: Array(header.utf8), data: data))
        #expect(file.names == ["odd", "x"])
        #expect(file.entries["odd"]?.dtype == SafetensorsType(rawValue: type))
        #expect(file.entries["odd"]?.count == count)
        #expect(try file.int32s("x") == [263])
        try file.withUnsafeBytes(of: "odd") { #expect($0.count == size) }
        guard type != "U64" else { return }
        #expect(
            inputErrorMessage { _ = try file.floats("odd") }
                == "\(file.path): tensor \"odd\": is \(type); expected F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16,"
                + " U8 or BOOL")
    }

    @Test("Null metadata are read as none, as in the reference library")
    func nullMetadata() throws {
        let header = #"{"__metadata__": null ,"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        let file = try safetensorsFile(safetensorsBytes(header: Array(header.utf8), data: [5]))
        #expect(file.metadata.isEmpty && file.names == ["x"])
    }

    @Test("An absent tensor is named")
    func absentTensor() throws {
        let file = try safetensorsFile(bytes("U8", 1, "07"))
        let expected = #"\#(file.path): tensor "y\n": is not in the file"#
        #expect(inputErrorMessage { _ = try file.entry("y\n") } == expected)
        #expect(inputErrorMessage { _ = try file.floats("y\n") } == expected)
        #expect(inputErrorMessage { _ = try file.int32s("y\n") } == expected)
        #expect(inputErrorMessage { try file.withUnsafeBytes(of: "y\n") { _ in } } == expected)
    }

    @Test("A file of the reference library is read to the bit")
    func fileMadeByPython() throws {
        let file = try safetensorsFile(pythonFile)
        #expect(file.metadata == ["format": "pt", "note": "line\nbreak \"é\""])
        #expect(file.names == ["tokens", "scalar", "empty", "layers.0.weight", "brain", "half", "mask"])
        #expect(Set(file.entries.keys) == Set(file.names))
        #expect(file.entries["layers.0.weight"]?.shape == [2, 3])
        #expect(file.entries["scalar"]?.shape == [])
        #expect(file.entries["empty"]?.shape == [0, 4])
        #expect(file.entries["empty"]?.byteRange == 544..<544)
        let weight: [Float] = [1.5, -2.25, .infinity, 0, -0.0, Float(bitPattern: 0x0003_4447)]
        #expect(try file.floats("layers.0.weight").map(\.bitPattern) == weight.map(\.bitPattern))
        #expect(try file.floats("half").map(\.bitPattern) == [0x3DCC_C000, 0xC77F_E000])
        #expect(try file.floats("brain").map(\.bitPattern) == [0x3DCD_0000, 0x7F62_0000, 0xBF80_0000])
        #expect(try file.floats("scalar") == [0.1])
        #expect(try file.floats("empty") == [])
        #expect(try file.int32s("tokens") == [1, -2, 3, .max])
        #expect(try file.int32s("mask") == [1, 0, 1])
    }

    @Test("A header may be without padding and tensors, and its strings may be escaped")
    func unusualHeaders() throws {
        let empty = try safetensorsFile(safetensorsBytes(header: Array("{}".utf8), data: []))
        #expect(empty.names.isEmpty)
        #expect(empty.metadata.isEmpty)
        let header = """
             {\t"a\\u00e9\\ud83d\\ude00\\n\\/\\\\\\"" : { "data_offsets" :[ 0 , 2 ], "shape":[2],\r
             "dtype":"\\u00558"} } \n
            """
        let escaped = try safetensorsFile(safetensorsBytes(header: Array(header.utf8), data: [1, 2]))
        #expect(escaped.names == ["aé😀\n/\\\""])
        #expect(try escaped.floats("aé😀\n/\\\"") == [1, 2])
    }

    @Test("Copies of the file value keep the map alive, on any thread")
    func concurrentReads() async throws {
        let file = try safetensorsFile(pythonFile)
        try await withThrowingTaskGroup(of: [Float].self) { group in
            for _ in 0..<8 { group.addTask { try file.floats("half") } }
            for try await values in group { #expect(values.map(\.bitPattern) == [0x3DCC_C000, 0xC77F_E000]) }
        }
    }
}
