plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.serialization)
}

android {
    namespace = "org.vitconv.classifier"
    compileSdk = libs.versions.targetSdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
}

dependencies {
    api(project(":core"))
    // The same Java package as org.tensorflow:tensorflow-lite, newer, and aligned for 16 KB pages.
    api(libs.litert)
    api(libs.litert.gpu)
    implementation(libs.exifinterface)
    implementation(libs.tflite.metadata)
}
