import ModelZoo
import Testing

@Suite("FLASH's initial scales") struct InitialScaleTests {
    @Test("The preset that is asked questions begins with scales of deviation 1, the others with the peer's")
    func presets() throws {
        let architecture = FLASHArchitecture()
        for (name, expected) in ["tiny": 0.02, "quick": 1, "small": 0.02, "reference": 0.02] {
            for objective in [nil, ObjectiveKind.masked] {
                let found = try architecture.preset(name, objective: objective).configuration.gammaDeviation
                #expect(found == expected, "\(name)")
            }
        }
        #expect(architecture.configuration(ModelSize(width: 32, sequenceLength: 64)).gammaDeviation == 0.02)
        #expect(FLASHConfiguration(tokens: 4, dimension: 8, depth: 1).gammaDeviation == 0.02)
    }
}
