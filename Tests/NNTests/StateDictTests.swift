import Foundation
import NN
import Tensors
import Testing

@Suite struct StateDictTests {
    @Test("Weights are saved under every key and loaded to the bit")
    func savesUnderEveryKeyAndLoadsTheSameBits() throws {
        let files = try Files()
        let model = Tied(seed: 1)
        try model.save(to: files.path, metadata: ["model": "tied"])
        let file = try SafetensorsFile(path: files.path)
        #expect(file.metadata == ["model": "tied"])
        #expect(
            file.names.sorted() == [
                "input.table", "inv_freq", "layers.0.bias", "layers.0.weight", "layers.1.weight", "output.table",
            ])
        let other = Tied(seed: 2)
        #expect(other.values != model.values)
        try other.load(from: files.path)
        #expect(other.values == model.values)
    }

    @Test("Weights are loaded from a file that holds more, by prefix")
    func loadsFromAFileThatHoldsMore() throws {
        let files = try Files()
        let model = Tied(seed: 1)
        try files.write(model, prefix: "weights/") { $0["output"] = .zeros([5]) }
        let other = Tied(seed: 2)
        try other.load(try SafetensorsFile(path: files.path), prefix: "weights/")
        #expect(other.values == model.values)
    }

    @Test("Everything that does not fit is listed at once")
    func listsEverythingThatDoesNotFitAtOnce() throws {
        let files = try Files()
        try files.write(Tied(seed: 1)) {
            $0["layers.0.weight"] = nil
            $0["layers.0.wieght"] = .zeros([2, 3])
            $0["layers.0.bias"] = .zeros([1, 2])
            $0["output.table"] = $0["output.table"]! + 1
            $0["inv_freq"] = $0["inv_freq"]! * Float(1.0001)
        }
        #expect(
            files.failure() == "\(files.path): does not fit the model: 1 missing (layers.0.weight);"
                + " 1 unused (layers.0.wieght); 1 of another shape or type (layers.0.bias is F32 [1, 2], expected F32 [2]);"
                + " 1 buffer with other values (inv_freq has 1.0001 at 0, expected 1.0);"
                + " 1 shared parameter with unequal values (input.table and output.table)")
    }

    @Test("A long list is cut off")
    func aLongListIsCut() throws {
        let files = try Files()
        try files.write(Tied(seed: 1)) { tensors in for i in 10..<30 { tensors["extra.\(i)"] = .zeros([1]) } }
        #expect(
            files.failure()
                == "\(files.path): does not fit the model: 20 unused (extra.10, extra.11, extra.12, extra.13,"
                + " extra.14, extra.15, extra.16, extra.17 and 12 more)")
    }

    @Test("Another configuration is recognized by its shapes")
    func aConfigurationWithOtherSizesIsToldByTheShapes() throws {
        let files = try Files()
        try Tied(width: 5).save(to: files.path)
        #expect(
            files.failure() == "\(files.path): does not fit the model: 1 of another shape or type"
                + " (layers.0.weight is F32 [2, 5], expected F32 [2, 3])")
    }

    @Test("Buffers may differ by rounding only")
    func buffersMayDifferByRoundingOnly() throws {
        let files = try Files()
        // 1e-5 is what other orders of the same float32 computation may differ by; 2e-5 is not.
        try files.write(Tied(seed: 1)) { $0["inv_freq"] = $0["inv_freq"]! * Float(1.000008) }
        try Tied(seed: 2).load(from: files.path)
        try files.write(Tied(seed: 1)) { $0["inv_freq"] = $0["inv_freq"]! * Float(1.00002) }
        #expect(files.failure().contains("1 buffer with other values (inv_freq has 1.00002 at 0"))
        try files.write(Tied(seed: 1)) { $0["inv_freq"] = Tensor([1, .nan, 0.01, 0.001]) }
        #expect(files.failure().contains("inv_freq has nan at 1, expected 0.1"))
    }

    @Test("Narrow and wide floats are converted")
    func narrowAndWideFloatsAreConverted() throws {
        let files = try Files()
        let model = Tied(seed: 1)
        for dtype in [SafetensorsType.float16, .bfloat16, .float64] {
            var writer = SafetensorsWriter()
            for (key, parameter) in model.state {
                let bytes = parameter.value.values.flatMap { encoded($0, dtype) }
                try writer.add(key, dtype: dtype, shape: parameter.shape) { output in
                    try bytes.withUnsafeBytes { try output($0) }
                }
            }
            try writer.write(to: files.path)
            let other = Tied(seed: 2)
            try other.load(from: files.path)
            // Half a unit in the last place of 11 and 8 binary digits; float64 holds floats exactly.
            let tolerance: Float = dtype == .float16 ? 0x1p-11 : dtype == .bfloat16 ? 0x1p-8 : 0
            for (a, b) in zip(other.values.joined(), model.values.joined()) {
                #expect(abs(a - b) <= tolerance * abs(b))
            }
            #expect(other.frequencies.value.values == model.frequencies.value.values)
        }
    }

    @Test("Types that are not read here are refused only where the model asks for them")
    func unreadableTypes() throws {
        let files = try Files()
        var writer = SafetensorsWriter()
        for (key, parameter) in Tied().state where key != "layers.0.bias" { try writer.add(key, parameter.value) }
        let bytes: [UInt8] = [1, 2]
        try writer.add("layers.0.bias", dtype: .other("F8_E4M3"), shape: [2]) { output in
            try bytes.withUnsafeBytes { try output($0) }
        }
        try writer.write(to: files.path)
        #expect(
            files.failure().hasSuffix("1 of another shape or type (layers.0.bias is F8_E4M3 [2], expected F32 [2])"))
    }

    @Test("Integers are refused as weights")
    func integersAreNoWeights() throws {
        let files = try Files()
        var writer = SafetensorsWriter()
        for (key, parameter) in Tied().state where key != "layers.0.bias" { try writer.add(key, parameter.value) }
        try writer.add("layers.0.bias", shape: [2], int64s: [1, 2])
        try writer.write(to: files.path)
        #expect(files.failure().hasSuffix("1 of another shape or type (layers.0.bias is I64 [2], expected F32 [2])"))
    }

    private func encoded(_ value: Float, _ dtype: SafetensorsType) -> [UInt8] {
        func bytes(_ bits: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: bits.littleEndian, Array.init) }
        switch dtype {
        case .bfloat16: return bytes(UInt16((value.bitPattern + 0x8000) >> 16))
        case .float64: return bytes(Double(value).bitPattern)
        default:
            #if arch(x86_64) && os(macOS)
                fatalError("no Float16 here")
            #else
                return bytes(Float16(value).bitPattern)
            #endif
        }
    }
}
