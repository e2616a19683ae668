plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
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
    sourceSets["main"].assets.srcDir("../target/models")

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

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    kotlinOptions { jvmTarget = "11" }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.coroutines.android)
    // The same Java package as org.tensorflow:tensorflow-lite, newer, and aligned for 16 KB pages.
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.tflite.metadata)
    testImplementation(libs.junit)
    testImplementation(libs.coroutines.test)
    testImplementation(libs.robolectric)
}
