plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.serialization)
}

android {
    namespace = "org.vitconv.demo"
    compileSdk = libs.versions.targetSdk.get().toInt()

    defaultConfig {
        applicationId = "org.vitconv.demo"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = libs.versions.versionCode.get().toInt()
        versionName = libs.versions.versionName.get()
    }

    // What `vitconv app build` staged last.
    sourceSets.named("main") { assets.directories += "../target/models" }

    buildTypes {
        debug { ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64") } }
        release {
            isMinifyEnabled = true
            proguardFiles("proguard-rules.pro")
            ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a") }
        }
    }

    androidResources { noCompress += "tflite" }
    testOptions { unitTests.isIncludeAndroidResources = true }

    // Kotlin follows these.
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
}

dependencies {
    implementation(project(":classifier"))
    implementation(libs.coroutines.android)
    implementation(libs.activity)
    implementation(libs.lifecycle.viewmodel)
    testImplementation(libs.junit)
    testImplementation(libs.coroutines.test)
    testImplementation(libs.robolectric)
}
