import CKernels
import Foundation
import Testing

@Suite struct FormatsTests {
    static let all = (0...UInt16.max).map { $0 }

    @Test("All 65,536 half-precision numbers are converted by their definition in IEEE 754")
    func half() {
        let y = output(Self.all.count) { az_half_to_float(Self.all.count, Self.all, $0) }
        let expected = Self.all.map { bits -> Float in
            let (exponent, mantissa) = (Int(bits >> 10 & 31), Double(bits & 1023))
            let magnitude: Double =
                switch exponent {
                case 31: mantissa == 0 ? .infinity : .nan
                case 0: mantissa * 0x1p-24
                default: (1 + mantissa / 1024) * pow(2, Double(exponent - 15))
                }
            return Float(bits >> 15 == 0 ? magnitude : -magnitude)
        }
        expectSame(y, expected)
    }

    @Test("All bfloat16 numbers are converted to the bit")
    func bfloat16() {
        let y = output(Self.all.count) { az_bfloat16_to_float(Self.all.count, Self.all, $0) }
        #expect(y.map(\.bitPattern) == Self.all.map { UInt32($0) << 16 })
    }

    @Test("Odd counts are converted whole")
    func oddCounts() {
        for count in [1, 3, 17] {
            let x = [UInt16](Self.all[0x3c00..<0x3c00 + count])
            let y = output(count) { az_half_to_float(count, x, $0) }
            expectSame(y, (0..<count).map { 1 + Float($0) / 1024 })
            #expect(output(count) { az_bfloat16_to_float(count, x, $0) }[0] == Float(bitPattern: 0x3c00_0000))
        }
    }
}

@Suite struct ProcessorTests {
    @Test("Denormals are flushed only between the two calls")
    func denormals() {
        let small = [Float](repeating: 0x1.8p-126, count: 17)
        let before = az_flush_denormals()
        let flushed = output(17) { az_scale(17, 0.5, small, $0) }
        az_restore_denormals(before)
        expectSame(flushed, [Float](repeating: 0, count: 17), "flushed")
        let kept = output(17) { az_scale(17, 0.5, small, $0) }
        expectSame(kept, [Float](repeating: 0x1.8p-127, count: 17), "restored")
    }
}
